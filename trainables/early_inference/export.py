"""Native configs written: the user's own CONFIG made to say what was trained, and the whole of it in another form."""

from collections.abc import Mapping
from pathlib import Path

from spaces.values import show
from trainables.early_inference.config import OLDER, Config, is_older
from trainables.handover import Parse, handed_over, with_note
from trainables.native import as_python, as_yaml, form_of, parse_native, plain

YAML_FILE, PYTHON_FILE = "config.yaml", "config.py"


def native_forms(source: str | None, name: str, config: Config, parse: Parse) -> dict[str, str]:
    """The files for `native/`: the user's own text `source` (called `name`) with what differs from the script's values,
    and the whole config in whichever of YAML and Python that file is not (both, if there is none or it is JSON).

    A file of the older script gets a note of what only the newer one can train.
    """
    whole = plain(config)
    form = None if source is None else form_of(name, name)
    files = {} if form == "yaml" else {YAML_FILE: as_yaml(whole)}
    files |= {} if form == "python" else {PYTHON_FILE: as_python(whole)}
    if source is None:
        return files
    file = Path(name).name
    own = handed_over(source, name, config, parse, YAML_FILE)
    given = parse_native(source, file, file)
    beyond: Mapping[str, str] = {}
    if is_older(given):
        values = {key: getattr(config, key) for key in OLDER if key not in given}
        beyond = {
            key: f"{show(value)} (an older script trains as with {show(OLDER[key])})"
            for key, value in values.items()
            if value != OLDER[key]
        }
    return files | with_note(own, file, beyond)
