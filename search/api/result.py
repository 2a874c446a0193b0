"""A search as values: its best config, its trials and evaluations as DataFrames, its verdict, its report."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from search.report import build
from search.report.material import gather
from search.results import tables
from search.results.verdict import Verdict
from spaces.paths import with_values
from spaces.values import show, thaw


@dataclass(frozen=True)
class Report:
    """A search's page: shown where it is evaluated in a notebook, elsewhere a file to open."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        """The page in a frame of its own: its styles and scripts stay apart from the notebook's."""
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:80vh;border:0"></iframe>'


@dataclass(frozen=True)
class Result:
    """A finished, stopped or running search; everything is read from its folder when it is asked for."""

    folder: Path

    @property
    def best(self) -> dict[str, Any]:
        """The whole config to train with: the winner's, or the baseline's where the verdict is to keep it."""
        material = gather(self.folder)
        values = {} if material.verdict is None else material.verdict.handed_over.values
        return with_values(material.base, {path: thaw(value) for path, value in values.items()})

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: number, status, objective, steps, seconds, origin, and a column per knob."""
        material = gather(self.folder)
        return tables.trials_table(material.records, [knob.path for knob in material.space.knobs])

    @property
    def history(self) -> pd.DataFrame:
        """One row per evaluation: trial, step, objective, and a column per metric."""
        return tables.history_table(gather(self.folder).records)

    @property
    def verdict(self) -> Verdict | None:
        """Whether to switch, and on what evidence; None while no trial has a value."""
        return gather(self.folder).verdict

    @property
    def checked(self) -> Mapping[str, str]:
        """What the probe found of the training code before the search."""
        found: Mapping[str, str] = gather(self.folder).settings.get("checked", {})
        return found

    def report(self) -> Report:
        """Make the search's page again, from what is known now."""
        return Report(build.write(self.folder))

    def _repr_html_(self) -> str:
        verdict = self.verdict
        said = "no trial has a value yet" if verdict is None else f"{verdict.decision}: {verdict.why}"
        best = "".join(
            f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(show(v))}</td></tr>" for k, v in self.best.items()
        )
        return f"<p><b>{html.escape(self.folder.name)}</b> {html.escape(said)}</p><table>{best}</table>"


def opened(folder: str | Path) -> Result:
    """The search in a folder such as `results/demo`, finished or running. Raises BadInput where there is none."""
    gather(Path(folder))
    return Result(Path(folder))
