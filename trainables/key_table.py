"""`python -m trainables.key_table` writes the table of keys in each page `docs/models/<model>.md` from the schema."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spaces import strict_yaml
from spaces.domain import describe
from spaces.knob import Knob
from spaces.paths import get
from spaces.space import Space, parse_space
from spaces.values import show
from trainables.early_inference import config as early_inference
from trainables.keys import Key, keys
from trainables.registry import model_named
from trainables.sequence_generator.config import Phase
from trainables.sequence_generator.plan import DOCUMENTED

START, END = "<!-- keys: python -m trainables.key_table -->", "<!-- end of keys -->"
ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "models"
PLAN = "plan"  # of sequence_generator, whose phases have a table of their own
SHARES = {
    "epochs": "length",
    "start_lr": "lr_start",
    "min_lr": "lr_end",
    "warmup_lr": "lr_warmup",
    "warmup_fraction": "lr_warmup_fraction",
}
"""A phase's key → its name in the plan, where that is another."""
LONG = 60  # characters of a value in the table


def table(model: str) -> str:
    """The keys of a model's native config as a table in Markdown."""
    known = model_named(model)
    recipe = known.documented()
    schema = type(known.parse(recipe, "the documented recipe"))
    file = ROOT / "spaces" / f"{model}.yaml"
    space = parse_space(strict_yaml.load(file), f"spaces/{model}.yaml", prefix="")
    older = early_inference.OLDER if model == "early_inference" else {}
    lines = ["| key | absent | documented | searched in |", "|---|---|---|---|"]
    lines += [_row(key, space, older, get(recipe, key.path)) for key in keys(schema) if key.path != PLAN]
    return "\n".join([*lines, *(_phases(space) if model == "sequence_generator" else ())])


def with_table(page: str, text: str) -> str:
    """`page` with `text` between its two marks. Raises ValueError where it lacks one."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the page has no {START} … {END} to write into")
    return f"{before}{START}\n{text}\n{END}{after}"


def pages() -> Iterator[Path]:
    """The pages that have a table."""
    return (page for page in sorted(PAGES.glob("*.md")) if START in page.read_text(encoding="utf-8"))


def _row(key: Key, space: Space, older: Mapping[str, Any], recipe: Any) -> str:
    knob = space.by_path.get(key.path)
    absent = f"as `{key.note}`" if key.note else _cell(key.absent)
    if key.unsettled:
        absent = f"{key.unsettled}: {absent}" if key.absent is not None else key.unsettled
    if key.path in older:
        absent += f"; older file: {_cell(older[key.path])}"
    return f"| {_name(key)} | {absent} | {_cell(recipe)} | {_searched(knob)} |"


def _phases(space: Space) -> Iterator[str]:
    """The table of the keys that each phase of sequence_generator has. A search has them in `plan`, mostly as shares of
    what came before."""
    last = len(DOCUMENTED)
    yield from ("", f"| key of a phase | absent | documented, phases 1 to {last} | searched in |", "|---|---|---|---|")
    for key in keys(Phase):
        values = ", ".join(_cell(getattr(phase, key.path)) for phase in DOCUMENTED)
        yield f"| {_name(key)} | {key.note or _cell(key.absent)} | {values} | {_in_plan(key, space)} |"


def _in_plan(key: Key, space: Space) -> str:
    name = SHARES.get(key.path, key.path)
    phases: dict[str, list[str]] = {}
    for number in range(1, len(DOCUMENTED) + 1):
        if said := _searched(space.by_path.get(f"{PLAN}.phase_{number}.{name}")):
            phases.setdefault(said, []).append(str(number))
    domains = "; ".join(f"{said} (phases {', '.join(numbers)})" for said, numbers in phases.items())
    return f"`{PLAN}.phase_N.{name}`: {domains}" if domains else ""


def _name(key: Key) -> str:
    return f"`{key.path}`" + (" (ours)" if key.ours else "")


def _searched(knob: Knob | None) -> str:
    return "" if knob is None else describe(knob.domain) + (" of the budget" if knob.of else "")


def _cell(value: object) -> str:
    said = show(value)
    return f"`{said if len(said) <= LONG else said[: LONG - 1] + '…'}`".replace("|", "\\|")


def main() -> int:
    """Write all tables anew."""
    for page in pages():
        page.write_text(with_table(page.read_text(encoding="utf-8"), table(page.stem)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
