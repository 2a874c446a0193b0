"""`python -m trainables.key_table` writes the table of keys in each page `docs/models/<model>.md` from the schema."""

import sys
from collections.abc import Iterator
from pathlib import Path

from spaces import strict_yaml
from spaces.domain import describe
from spaces.space import Space, parse_space
from spaces.values import show
from trainables.keys import Key, keys
from trainables.registry import model_named

START, END = "<!-- keys: python -m trainables.key_table -->", "<!-- end of keys -->"
ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "models"
LONG = 60  # characters of a value in the table


def table(model: str) -> str:
    """The keys of a model's native config as a table in Markdown."""
    known = model_named(model)
    schema = type(known.parse(known.documented(), "the documented recipe"))
    file = ROOT / "spaces" / f"{model}.yaml"
    space = parse_space(strict_yaml.load(file), f"spaces/{model}.yaml", prefix="")
    lines = ["| key | absent | documented | searched in |", "|---|---|---|---|"]
    return "\n".join([*lines, *(_row(key, space) for key in keys(schema))])


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


def _row(key: Key, space: Space) -> str:
    knob = space.by_path.get(key.path)
    absent = f"as `{key.note}`" if key.note else _cell(key.absent)
    name = f"`{key.path}`" + (" (ours)" if key.ours else "")
    searched = "" if knob is None else describe(knob.domain) + (" of the budget" if knob.of else "")
    return f"| {name} | {absent} | {_cell(key.documented)} | {searched} |"


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
