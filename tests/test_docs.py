"""README and docs: every link leads somewhere, every YAML reads, every generated page is current."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.cli import reference
from search.spec.config import Settings
from spaces import strict_yaml
from spaces.schema import parse

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


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_yaml_reads_and_whole_searches_fit_the_schema(page: Path) -> None:
    for text in blocks(page):
        content = strict_yaml.loads(text, str(page))
        assert isinstance(content, dict)
        if {"model", "budget"} <= content.keys():
            parse(Settings, content, str(page))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize(("name", "made"), [("config.md", reference.config_page), (reference.SCHEMA, reference.schema)])
def test_the_reference_of_keys_is_current(name: str, made: object) -> None:
    assert callable(made)
    content = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert content == made(), f"python -m search.cli.reference docs makes docs/{name} anew"


@pytest.mark.integration
@pytest.mark.slow
def test_the_page_of_commands_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference.cli_page()
