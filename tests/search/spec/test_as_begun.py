"""What a search that is taken up takes from its folder, and what the user's own words still decide."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_search import small_search

from search.execution.choose_stopping import make_bracket
from search.spec.as_begun import as_begun
from search.spec.plan import make_plan
from search.spec.search import Search


def recorded(search: Search) -> dict[str, Any]:
    """What the folder's search.yaml says of `search`."""
    content: dict[str, Any] = json.loads(json.dumps(search.identity()))
    return content


def test_the_same_version_changes_nothing(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    assert as_begun(search, recorded(search)).identity() == search.identity()


def test_a_default_that_has_changed_stays_as_it_was(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    old = recorded(search)
    old["settings"]["sampler"] = {"kind": "tpe", "seed": 0, "points": 3}
    old["settings"]["early_stopping"]["reduction"] = 4
    known = as_begun(search, old)
    assert known.settings.sampler.kind == "tpe"
    assert json.loads(json.dumps(known.identity())) == old


def test_a_search_that_compared_all_trials_at_every_rung_goes_on_so(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    old = recorded(search)
    assert old["settings"]["early_stopping"].pop("from_settled")  # a version that had no such key
    known = as_begun(search, old)
    assert search.settings.early_stopping.waits and not known.settings.early_stopping.waits
    assert make_plan(known).rungs[0] == 3 and make_plan(search).rungs[0] == 1


def test_a_search_that_trained_the_baseline_in_full_goes_on_so(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    old = recorded(search)
    assert old["settings"]["early_stopping"].pop("baseline") == "auto"  # a version that had no such key
    known = as_begun(search, old)
    empty = make_bracket(known, make_plan(known), {}.__getitem__)
    assert empty is not None and empty.exempt(0) and not empty.exempt(1)
    assert json.loads(json.dumps(known.identity())) == old


def test_what_the_user_says_is_never_overruled(tmp_path: Path) -> None:
    search = small_search(tmp_path, "sampler.kind=random")
    old = recorded(search)
    old["settings"]["sampler"]["kind"] = "tpe"
    assert as_begun(search, old).settings.sampler.kind == "random"


def test_a_key_that_the_base_file_leaves_out_keeps_its_value(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    old = recorded(search)
    old["base"]["output_dropout"] = 0.3  # not in the file of the small search
    old["base"]["batch_size"] = 7  # in it
    known = as_begun(search, old)
    assert known.base["output_dropout"] == 0.3
    assert known.base["batch_size"] == search.base["batch_size"]


@pytest.mark.parametrize(
    ("file", "length"),
    [("training: {lr: 1}", 7), ("training: {length: 5}", 5), ("training: null", 5), ("training: [1]", 5)],
)
def test_a_section_says_only_the_keys_in_it(file: str, length: int, tmp_path: Path) -> None:
    now = {"training": {"lr": 1, "length": 5}}
    search = small_search(tmp_path)
    search = replace(search, base={**search.base, **now}, base_source=file, base_name="base.yaml")
    old = recorded(search)
    old["base"]["training"] = {"lr": 1, "length": 7}
    assert as_begun(search, old).base["training"]["length"] == length


def test_a_domain_that_has_changed_in_the_models_space_stays_as_it_was(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    old = recorded(search)
    old["space"]["lr"] = {**old["space"]["lr"], "float": [1e-5, 1e-3]}  # the YAML gives no domain for it
    old["space"]["warmup_epochs"] = {**old["space"]["warmup_epochs"], "int": [0, 9]}  # and does for this one
    domains = as_begun(search, old).space.as_dict()
    assert list(domains["lr"]["float"]) == [1e-5, 1e-3] and list(domains["warmup_epochs"]["int"]) == [0, 3]


def test_a_new_knob_of_the_models_space_is_no_part_of_an_old_search(tmp_path: Path) -> None:
    search = small_search(tmp_path, "knobs=null")
    old = recorded(search)
    gone = search.space.knobs[-1].path
    del old["space"][gone]
    assert gone not in as_begun(search, old).space.by_path


@pytest.mark.parametrize("text", ["why", "documented"])
def test_reasons_beside_a_domain_make_no_other_search(tmp_path: Path, text: str) -> None:
    search = small_search(tmp_path)
    old = recorded(search)
    for domain in old["space"].values():
        domain.pop(text, None)
    assert as_begun(search, old).space.by_path.keys() == search.space.by_path.keys()
    assert json.loads(json.dumps(as_begun(search, old).identity())) == old


def test_an_unreadable_record_leaves_the_search_as_it_is(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    old = recorded(search)
    old["settings"]["sampler"] = {"kind": "gone"}
    assert as_begun(search, old).settings.sampler == search.settings.sampler
    assert as_begun(replace(search), {}).identity() == search.identity()
