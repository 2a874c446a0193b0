"""Which runs show what each of the winner's changes brings, derived from what is recorded."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_search import proposed, records_of, small_search, trial

from search.history.events import Event, Proposed
from search.history.records import Records
from search.results import winner
from search.results.ablation import Setting, ablation, differing
from search.results.confirm import due
from search.results.explain import by_seed, explaining, parts, unexplained
from search.results.export import write_best
from search.results.parsimony import conclude
from search.results.procedure import Estimate, in_turn, quantile
from search.results.verdict import Verdict, judge
from search.spec.config import Confirm
from spaces import strict_yaml
from trainables.run import Prepared

WINNER = {"lr": 1e-2, "batch_size": 64, "warmup_epochs": 3}
SEEDS = (1, 2, 3)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    search = small_search(tmp_path)
    return Setting(search.space, search.base, search.model, search.horizon, (6, 18))


def score(values: Mapping[str, Any], seed: int = 0) -> float:
    return float(abs(np.log10(values["lr"]) + 2) + 0.1 * (values["batch_size"] != 64) + 1 + 0.001 * seed)


def searched(setting: Setting, count: int = 20) -> Iterator[list[Event]]:
    rng = np.random.default_rng(0)
    for number in range(count):
        values = setting.space.sample(rng, setting.base) if number else setting.space.baseline(setting.base)
        values = WINNER if number == 1 else values
        yield trial(number, score(values), values=values, origin="tpe" if number else "baseline")


def confirmed(setting: Setting, gain: float = 1.0) -> Records:
    """Everything is over but what explains; the baseline's scores are those of the formula, if `gain` is 1."""
    events = list(searched(setting))
    objective = setting.model.objective
    for run in due(records_of(*events), objective, Confirm(top=1, seeds=len(SEEDS)), SEEDS[0], 0.0):
        value = score(run.values, run.seed) if run.origin != "trial 1" else 2.0 - gain + 0.002 * run.seed
        events.append(trial(run.trial, value, values=run.values, origin=run.origin, kind="confirm", seed=run.seed))
    return records_of(*events)


def done(run: Proposed, value: float | None) -> list[Event]:
    status = "completed" if value is not None else "diverged"
    return trial(run.trial, value, values=run.values, origin=run.origin, kind="explain", seed=run.seed, status=status)  # type: ignore[arg-type]


def put(records: Records, *events: list[Event]) -> None:
    for each in events:
        for event in each:
            records.apply(event)


def test_each_config_on_the_way_is_trained_on_each_of_the_verdicts_seeds(setting: Setting) -> None:
    records = confirmed(setting)
    verdict = judge(records, setting.model.objective)
    assert verdict is not None and verdict.decision == "switch" and verdict.winner.trial == 1
    due = explaining(records, setting, None, 0.0)
    way = ablation(records, setting, WINNER)
    assert way is not None and len(way.changes) == 3
    assert [run.origin for run in due] == ["trial 1, 1 of 3 changes", "trial 1, 2 of 3 changes"] * 3
    assert [run.seed for run in due] == [1, 1, 2, 2, 3, 3] and {run.kind for run in due} == {"explain"}
    assert [run.trial for run in due] == list(range(len(records.trials), len(records.trials) + 6))
    for run, change in zip(due, way.changes[:-1] * 3, strict=True):
        assert not differing(run.values, change.values)


def test_taken_up_at_any_moment_the_same_runs_are_due(setting: Setting) -> None:
    every = explaining(confirmed(setting), setting, None, 0.0)
    for cut in range(len(every) + 1):
        records = confirmed(setting)
        put(records, *(done(run, 1.5) if number % 2 else [run] for number, run in enumerate(every[:cut])))
        assert explaining(records, setting, None, 0.0) == every[cut:]


def test_what_is_proposed_stays_where_later_trials_teach_another_way(setting: Setting) -> None:
    records = confirmed(setting)
    first = explaining(records, setting, None, 0.0)[0]
    odd = proposed(first.trial, {**WINNER, "warmup_epochs": 2}, origin=first.origin, kind="explain", seed=1)
    put(records, [odd])
    again = explaining(records, setting, None, 0.0)
    same = [run.values for run in again if run.origin == first.origin]
    assert len(again) == 5 and same == [odd.values] * 2
    assert parts(records, 1) == {(1, 3): odd.values} and parts(records, 2) == {}


def test_nothing_is_explained_unless_the_verdict_is_to_switch(setting: Setting) -> None:
    assert explaining(records_of(*searched(setting)), setting, None, 0.0) == []
    assert explaining(confirmed(setting, gain=-0.5), setting, None, 0.0) == []


def test_it_is_told_why_a_switch_is_not_explained(setting: Setting) -> None:
    def told(records: Records) -> str | None:
        verdict = judge(records, setting.model.objective)
        assert verdict is not None
        return unexplained(records, setting, verdict)

    few = [event for one in list(searched(setting))[:2] for event in one]
    for run in due(records_of(few), setting.model.objective, Confirm(top=1, seeds=len(SEEDS)), SEEDS[0], 0.0):
        value = score(run.values, run.seed)
        few += trial(run.trial, value, values=run.values, origin=run.origin, kind="confirm", seed=run.seed)
    assert "fewer than 8 trials" in (told(records_of(few)) or "")
    assert told(confirmed(setting, gain=-0.5)) is None
    records = confirmed(setting)
    put(records, done(explaining(records, setting, None, 0.0)[0], 1.5))
    assert told(records) is None


def test_the_runs_enter_no_verdict_and_are_known_by_seed(setting: Setting) -> None:
    records, objective = confirmed(setting), setting.model.objective
    before = judge(records, setting.model.objective)
    due = explaining(records, setting, None, 0.0)
    put(records, *(done(run, 0.1 if run.seed < 3 else None) for run in due))
    assert judge(records, setting.model.objective) == before
    assert by_seed(records, 1, due[0].values, objective) == {1: 0.1, 2: 0.1, 3: objective.worst}
    assert by_seed(records, 1, WINNER, objective) == {} and by_seed(records, 2, due[0].values, objective) == {}
    assert records.proposed["explain"] == 6 and records.search_steps == 20 * 18


# The smallest change that keeps the gain.


def explained(setting: Setting, gains: Mapping[int, Sequence[float | None]], **options: Any) -> tuple[Records, Verdict]:
    """What is concluded where the config with so many changes gains so much on each seed; None: its run is not over."""
    records = confirmed(setting)
    verdict = judge(records, setting.model.objective)
    assert verdict is not None and verdict.baseline is not None
    for run in explaining(records, setting, None, 0.0):
        gain = gains[int(run.origin.split()[2])][run.seed - 1]
        put(records, [run] if gain is None else done(run, verdict.baseline.by_seed[run.seed] - gain))
    found = conclude(records, setting.model.objective, Confirm(explain=True, **options))
    assert found is not None and found.decision == "switch"
    return records, found


def test_changes_are_taken_back_as_long_as_the_gain_is_kept(setting: Setting) -> None:
    whole = judge(confirmed(setting), setting.model.objective)
    assert whole is not None and whole.gain is not None
    most, less = [g * 1.01 for g in whole.pairs.values()], [g * 0.92 for g in whole.pairs.values()]
    kept = {options: explained(setting, {1: less, 2: most}, parsimony=options)[1] for options in (None, 0.0, 0.1)}
    assert [verdict.winner.part for verdict in kept.values()] == [None, (2, 3), (1, 3)]
    assert kept[None] == whole
    found = kept[0.1]
    assert found.gain == Estimate.of(less, quantile(3)) and list(found.pairs.values()) == pytest.approx(less)
    assert found.winner.origin == found.winner.name == "trial 1, 1 of 3 changes" and found.winner.trial == 1
    assert found.whole is not None and found.whole.values == WINNER and found.whole_gain == whole.gain
    assert found.handed_over is found.winner and found.winner in found.ranking and len(found.ranking) == 3
    tested = whole.why.removeprefix(f"paired gain {whole.gain}")
    assert found.why.startswith(f"paired gain {found.gain}{tested}; ")
    assert found.why.endswith(f"with 1 of the 3 changes of trial 1, with all 3 the gain is {whole.gain}")


@pytest.mark.parametrize(
    "gains",
    [
        {1: [1.0] * 3, 2: [0.5] * 3},  # what comes first on the way was tested last, and no more
        {1: [1.0] * 3, 2: [0.2, 3.0, 0.1]},  # the mean is high enough, and may be luck
        {1: [1.0] * 3, 2: [1.0, None, 1.0]},
    ],
)
def test_the_first_part_that_fails_ends_it(setting: Setting, gains: Mapping[int, Sequence[float | None]]) -> None:
    assert explained(setting, gains, parsimony=0.1)[1].winner.part is None


def test_seeds_one_at_a_time_have_the_interval_of_the_look_that_decided(setting: Setting) -> None:
    records = confirmed(setting)
    confirm = Confirm(top=1, seeds="auto", max=4, explain=True, parsimony=0.2)
    whole = judge(records, setting.model.objective, confirm.most)
    assert whole is not None and whole.decision == "switch" and whole.baseline is not None
    for run in explaining(records, setting, confirm.most, 0.0):
        put(records, done(run, whole.baseline.by_seed[run.seed] - 0.9 * whole.pairs[run.seed]))
    found = conclude(records, setting.model.objective, confirm)
    assert found is not None and found.winner.part == (1, 3)
    assert found.gain == in_turn(list(found.pairs.values()), 4)
    assert "allowing for a look after each: above zero" in found.why


def test_what_is_handed_over_is_the_part_with_its_own_numbers(setting: Setting, tmp_path: Path) -> None:
    records, verdict = explained(setting, {1: [0.98, 1.0, 1.02], 2: [0.98, 1.0, 1.02]}, parsimony=0.2)
    run = winner.run_of(records, verdict)
    assert run is not None and (run.proposed.kind, run.proposed.seed) == ("explain", 1)
    confirm = Confirm(explain=True, parsimony=0.2)
    assert winner.number_of(records, setting.model.objective, confirm) == run.number
    write_best(tmp_path, small_search(tmp_path), Prepared(tmp_path, "0" * 64, ""), verdict, records)
    told = strict_yaml.load(tmp_path / "best.yaml")
    config, provenance = told["config"], told["provenance"]
    assert config["lr"] == 1e-2 and config["batch_size"] == 256  # the second change is taken back
    assert told["seed"] == 1 and provenance["objective"]["value"] == run.objective
    assert provenance["gain"]["mean"] == pytest.approx(1.0)
    assert (provenance["changes"]["kept"], provenance["changes"]["of"]) == (1, 3)
    assert provenance["changes"]["all"]["gain"]["mean"] == pytest.approx(verdict.whole_gain.mean)  # type: ignore[union-attr]


def test_parsimony_needs_what_explains() -> None:
    with pytest.raises(ValueError, match="parsimony needs the trainings of explain: true"):
        Confirm(parsimony=0.1)
    with pytest.raises(ValueError, match="explain trains on the seeds of the confirmation, and seeds is 0"):
        Confirm(explain=True, seeds=0)
