"""The metrics of the runs that a script makes with MLflow, read from MLflow's own files as they grow, without MLflow.

The script is given MLFLOW_TRACKING_URI, a folder: each metric is a file `<experiment>/<run>/metrics/<name>` with lines
of time, value and step.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

Named = Callable[[int, str, float], tuple[int, dict[str, float]]]


class MlflowFiles:
    """The metrics of all runs in a folder."""

    def __init__(self, folder: Path, named: Named, judged: Sequence[str]) -> None:
        self._folder, self._named, self._judged = folder, named, judged
        self._offsets: dict[Path, int] = {}

    def read(self) -> dict[int, dict[str, float]]:
        """The metrics of the lines that are complete since."""
        found: dict[int, dict[str, float]] = {}
        for path in sorted(self._folder.glob("*/*/metrics/**/*")):
            if not path.is_file():
                continue
            offset = self._offsets.get(path, 0)
            with path.open("rb") as file:
                file.seek(offset)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._offsets[path] = offset + len(whole)
            name = path.as_posix().partition("/metrics/")[2]
            for line in whole.decode("utf-8", "replace").splitlines():
                parts = line.split()
                if len(parts) >= 3:
                    units, metrics = self._named(int(parts[2]), name, float(parts[1]))
                    found.setdefault(units, {}).update(metrics)
        return found

    def seen(self) -> str:
        """The metrics, or that there is no run."""
        names = sorted({path.as_posix().partition("/metrics/")[2] for path in self._offsets})
        if not names:
            return f"no MLflow run was made in {self._folder}: does the script set a tracking URI of its own?"
        return f"its MLflow run has {', '.join(names)}"

    def trouble(self) -> str | None:
        """Nothing shows before the end."""
        return None

    def files(self) -> list[Path]:
        """None: what is written later lies in files of its own."""
        return []
