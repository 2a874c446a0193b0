"""Every search that comes with the project: base, space and schema fit together."""

import re
from pathlib import Path

import pytest

from search.spec.plan import make_plan
from search.spec.plan_text import describe
from search.spec.resolve import resolve
from spaces import strict_yaml
from trainables.registry import model_named, models

ROOT = Path(__file__).parents[1]
FILES = sorted(path for suffix in ("*.yaml", "*.yml") for path in (ROOT / "configs").rglob(suffix))
CONTENTS = {path: strict_yaml.load(path) for path in FILES}
SEARCHES = [path for path, content in CONTENTS.items() if isinstance(content, dict) and "budget" in content]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_searches() -> None:
    assert SEARCHES
    assert any(path.name == "demo.yaml" for path in SEARCHES)


def test_every_other_file_is_used_by_a_search() -> None:
    bases = {(path.parent / CONTENTS[path]["base"]).resolve() for path in SEARCHES if CONTENTS[path].get("base")}
    others = {path.resolve() for path in FILES if path not in SEARCHES and "cluster" not in path.parts}
    assert others <= bases


@pytest.mark.parametrize("path", SEARCHES, ids=named)
def test_a_search_can_be_planned(path: Path) -> None:
    search = resolve(path)
    plan = make_plan(search)
    assert plan.trials >= 1 and plan.rungs[-1] == search.horizon
    assert describe(search, plan).startswith(f"{search.name}: {plan.trials} trials of {search.model.name}")
    if CONTENTS[path].get("model") in models():
        assert search.model is model_named(CONTENTS[path]["model"])
    assert plan.unsettled[0] <= 0.9  # some are compared at the first rung, and nearly all at a later one
    assert min(plan.unsettled) <= 0.1
    baseline = search.space.baseline(search.base)
    assert baseline and set(baseline) <= {knob.path for knob in search.space.knobs}


@pytest.mark.parametrize("path", SEARCHES, ids=named)
def test_a_search_opens_with_its_command(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(rf"# (make demo\b|python -m search\.run {re.escape(named(path))}\b)", first), first


@pytest.mark.parametrize("path", [path for path in FILES if path not in SEARCHES], ids=named)
def test_any_other_file_opens_with_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
