"""The models: each one a native config, its data, its network and one training run."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def _pin(name: str) -> None:
    """Import the package `name` that lies beside this one: `python -m` looks into the working folder first, where a
    user may have a folder or a file of that name.
    """
    folder = Path(__file__).parents[1] / name
    spec = spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    if name in sys.modules or spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        return
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


_pin("spaces")
