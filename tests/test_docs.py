"""README and docs: every link leads somewhere, every YAML reads, every generated page is current."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.cli import reference
from search.spec.plan import make_plan
from search.spec.resolve import resolve
from spaces import strict_yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "results" / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    yield from (target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith("http"))


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_there_are_pages() -> None:
    assert len(PAGES) > 10 and any(blocks(page) for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(to), f"{page}: {target}"


EXAMPLES = [(page, text) for page in PAGES for text in blocks(page)]
THEIRS = {"docs/tutorial.md": "epochs"}
"""Pages that show a user's own training config, by a key that it has."""
SEARCH = re.compile(r"(?:python -m search\.|schedule-search )run (configs/\S+\.yaml)")
DEMO = "configs/early_inference/demo.yaml"
OWN = "configs/own/function/spiral.yaml"


@pytest.mark.parametrize(("page", "text"), EXAMPLES, ids=[f"{p.stem}-{i}" for i, (p, _) in enumerate(EXAMPLES)])
def test_every_yaml_plans(page: Path, text: str, tmp_path: Path) -> None:
    """A part of a search is planned within the search that the page names, or else within a demo."""
    content = strict_yaml.loads(text, str(page))
    assert isinstance(content, dict)
    if THEIRS.get(str(page.relative_to(ROOT))) in content:
        return
    found = SEARCH.search(text) or SEARCH.search(page.read_text(encoding="utf-8"))
    beside = ROOT / (OWN if "schedules" in content else found[1] if found else DEMO)
    folder = tmp_path / "beside"
    shutil.copytree(beside.parent, folder)
    shutil.copy(ROOT / "configs/early_inference/small.yaml", folder / "my_config.yaml")
    if "schedules" in content:
        declared = {**strict_yaml.load(beside)["trainable"], **content}
        arguments = {"lr": 0.1, "warmup": 2, "drop_every": 3, "gamma": 0.5, "epochs": 12}
        content = {"trainable": declared, "base": None, "arguments": arguments, "space": {"lr": {"float": [0.01, 0.2]}}}
    if "budget" not in content:
        rest = strict_yaml.load(beside)
        content = {**{key: value for key, value in rest.items() if key != "knobs" or "space" not in content}, **content}
    if content.get("base") == "my_config.py":
        content["base"] = "my_config.yaml"
    if "data_dir" in content.get("data", {}):  # nobody's folder
        content["data"] = {"generate": {"samples": 100, "seed": 0}}
    (folder / "shown.yaml").write_text(strict_yaml.dumps(content), encoding="utf-8")
    search = resolve(folder / "shown.yaml")
    assert make_plan(search).rungs[-1] == search.horizon


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize(("name", "made"), [("config.md", reference.config_page), (reference.SCHEMA, reference.schema)])
def test_the_reference_of_keys_is_current(name: str, made: object) -> None:
    assert callable(made)
    content = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert content == made(), f"python -m search.cli.reference docs makes docs/{name} anew"


def test_every_key_has_its_meaning() -> None:
    rows = [line for line in reference.config_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 80 and not [row for row in rows if row.endswith("|  |")]


@pytest.mark.integration
@pytest.mark.slow
def test_the_page_of_commands_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference.cli_page()
