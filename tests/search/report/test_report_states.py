"""What the report says in each state of a search: nothing that is false then."""

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from small_search import proposed, reported

from benchmarks.report_folder import Story, make_folder
from search.history.events import Ended, Event, Phase, Reported, Stopped
from search.history.journal import Journal, read
from search.history.records import Records
from search.persistence.standing import at_work, standing
from search.report.anytime import anytime
from search.report.data import main_knobs
from search.report.findings import find
from search.report.material import gather
from search.report.next_steps import doubts
from search.report.schedules import Course
from search.report.story import tell
from search.report.timeline import timeline
from search.report.words import captions, constants, evidence_note, importance_note
from search.results.procedure import Estimate
from search.simulate.advice import Advice, Replay
from search.simulate.fairness import RungCheck
from spaces import strict_yaml
from spaces.values import NOT_ACTIVE


def again(folder: Path, events: Sequence[Event]) -> Path:
    """The folder with another journal."""
    (folder / "journal.jsonl").unlink()
    with Journal(folder / "journal.jsonl") as journal:
        for event in events:
            journal.append(event)
    return folder


def owned(folder: Path, pid: int, host: str = "") -> None:
    (folder / ".owner").write_text(f"{host or socket.gethostname()} pid {pid}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "results" / "s"
    make_folder(path, Story(trials=12, failing=0, retried=0, finished=False))
    return path


@pytest.mark.parametrize(
    ("owner", "stopped", "state", "status", "step", "never"),
    [
        (True, None, "searching", "searching: ", "python -m search.report results/s", "type its command again"),
        (False, None, "interrupted", "interrupted: ", "", "The search runs"),
        (False, Stopped("signal", "SIGTERM", 1.9e9), "interrupted", "interrupted: ", "", "The search runs"),
        (
            True,
            Stopped("failures", "3 alike: no such file", 1.9e9),
            "failed",
            "stopped: ",
            "",
            "The search runs",
        ),
        (False, Stopped("error", "disk is gone", 1.9e9), "failed", "stopped: ", "", "newer values"),
    ],
)
def test_each_state_has_its_own_words(
    folder: Path, owner: bool, stopped: Stopped | None, state: str, status: str, step: str, never: str
) -> None:
    events = read(folder / "journal.jsonl")[0]
    again(folder, [*events, *([stopped] if stopped else [])])
    if owner:
        owned(folder, os.getpid())
    material = gather(folder)
    told = find(material).story
    text = " ".join([told.status, told.headline, told.sentence, *(s.what for s in told.steps)])
    assert material.standing.state == state and told.status.startswith(status)
    assert never not in text and (not step or step in [s.command for s in told.steps])
    if state == "failed":
        assert stopped is not None and stopped.reason in told.sentence and "Mend the cause" in text
        assert not told.doubts


def test_going_on_forgets_why_it_stopped() -> None:
    records = Records([Phase("search", 1.0), Stopped("failures", "why", 2.0), Phase("search", 3.0)])
    assert records.stopped is None and records.phase == "search"


def test_values_of_a_search_that_runs_are_compared_at_equal_steps_only(folder: Path) -> None:
    events = read(folder / "journal.jsonl")[0]
    last = max(i for i, e in enumerate(events) if isinstance(e, Reported) and e.trial == 0 and e.step > 1)
    early = [e for i, e in enumerate(events) if not (getattr(e, "trial", None) == 0 and i >= last)]
    material = gather(again(folder, early))
    verdict, at = material.verdict, material.compared_at
    assert verdict is not None and verdict.baseline is not None and at is not None
    for candidate in (verdict.winner, verdict.baseline):
        values = {r.step: r.metrics["objective"] for r in material.records.trials[candidate.trial].reports}
        assert list(candidate.by_seed.values()) == [values[at]]
    assert f"both at {material.unit} {at}" in find(material).story.sentence


def test_a_baseline_that_was_stopped_is_drawn_by_its_fresh_seeds(tmp_path: Path) -> None:
    make_folder(tmp_path / "s", Story(trials=12, whole=False))
    found = find(gather(tmp_path / "s"))
    assert found.material.records.trials[0].status == "stopped"
    verdict = found.material.verdict
    assert verdict is not None and verdict.baseline is not None
    assert found.course.baseline == pytest.approx(verdict.baseline.estimate.mean)
    seeds = len(verdict.baseline.by_seed)
    assert f"Dashed: the documented config, its mean on {seeds} fresh seeds." in captions(found)["caption_best"]


def test_without_a_common_step_nothing_is_compared(folder: Path) -> None:
    events = [e for e in read(folder / "journal.jsonl")[0] if not (isinstance(e, Reported) and e.trial == 0)]
    material = gather(again(folder, events))
    assert material.verdict is not None and material.verdict.baseline is None and material.compared_at is None
    assert "the documented one has none at the same" in find(material).story.sentence


def test_two_seeds_say_that_they_are_few_and_never_how_many_it_would_take(tmp_path: Path) -> None:
    make_folder(tmp_path / "s", Story(gain=0.1, scatter=0.05, seeds=2))
    told = find(gather(tmp_path / "s")).story
    assert told.headline == "Undecided: keep your config for now"
    assert [s.command for s in told.steps if "scatter" in s.what] == ["--set confirm.seeds=auto"]
    assert not [s for s in told.steps if "too small to pay for" in s.what]
    assert any("Only 2 fresh seeds" in doubt for doubt in told.doubts)


def test_a_process_at_work_is_known_by_its_number_and_age(tmp_path: Path) -> None:
    assert not at_work(tmp_path)
    owned(tmp_path, os.getpid())
    assert at_work(tmp_path) and standing(tmp_path, Records()).state == "starting"
    os.utime(tmp_path / ".owner", (1.0, 1.0))  # written long before this process began: its number was another's
    assert not at_work(tmp_path)
    owned(tmp_path, 2**22 + 1)
    assert not at_work(tmp_path)


def test_a_process_on_another_host_counts_while_the_journal_grows(tmp_path: Path) -> None:
    owned(tmp_path, 1, "elsewhere")
    assert not at_work(tmp_path)
    (tmp_path / "journal.jsonl").touch()
    assert at_work(tmp_path)
    os.utime(tmp_path / "journal.jsonl", (1.0, 1.0))
    assert not at_work(tmp_path)


def test_the_interval_is_that_of_the_confirmation_that_search_yaml_declares(tmp_path: Path) -> None:
    make_folder(tmp_path / "s")
    described = strict_yaml.load(tmp_path / "s" / "search.yaml")
    assert gather(tmp_path / "s").confirm.most is None
    described["confirm"] = {**described["confirm"], "seeds": "auto", "max": 6}
    (tmp_path / "s" / "search.yaml").write_text(strict_yaml.dumps(described), encoding="utf-8")
    assert gather(tmp_path / "s").confirm.most == 6


def test_a_doubt_on_a_rung_is_not_told_against_the_replays(folder: Path) -> None:
    material = gather(folder)
    check = RungCheck(1, entered=9, stopped=3, diverged=0, compared=6, correlation=0.1, cut_best=0.8)

    def told(advice: Advice | None) -> list[str]:
        assert material.verdict is not None
        return [doubt for doubt in doubts(material.verdict, [check, check], material, advice) if "seed" not in doubt]

    assert [text[:14] for text in told(None)] == ["The rung at st"]
    assert told(Advice("safe", Replay(1, 0.97, 10))) == []
    assert told(Advice("not safe", Replay(1, 0.6, 10))) == [
        "Early stopping from step 1 on loses the winner in 40% of replays."
    ]


def test_the_seed_that_chose_is_not_among_those_that_decided(folder: Path) -> None:
    material = gather(folder)
    assert material.verdict is not None and material.verdict.baseline is not None
    seeds = {1: 0.5, 2: 0.4, 3: 0.4, 4: 0.4}
    winner = replace(material.verdict.winner, by_seed=seeds, aside=1)
    verdict = replace(material.verdict, decision="switch", winner=winner, gain=Estimate(0.1, 0.05, 0.15, 3))
    material = replace(material, verdict=verdict, compared_at=None)
    told = tell(material, anytime(material), timeline(material.events), [], None)
    assert told.sentence.startswith("On 3 fresh seeds, the new config scores 0.400 ")


def test_until_fresh_seeds_have_values_nothing_is_said_of_them(folder: Path) -> None:
    known = read(folder / "journal.jsonl")[0]
    runs = [proposed(90 + of, origin=f"trial {of}", kind="confirm", seed=8, at=1.9e9) for of in (0, 1)]
    begun = [*known, Phase("confirm", 1.9e9), *runs]
    material = gather(again(folder, begun))
    assert material.verdict is not None and material.verdict.decision == "unconfirmed"
    assert evidence_note(material).endswith("the search's own seed, not confirmed")
    material = gather(again(folder, [*begun, reported(90, 40, 0.5, at=1.9e9), Ended(90, "completed", "", 1.9e9)]))
    assert material.verdict is not None and material.verdict.decision == "undecided"
    assert "1 fresh seed" in evidence_note(material)
    told = tell(material, anytime(material), timeline(material.events), [], None)
    assert told.sentence.startswith("On 1 fresh seed, no config ") and "still to be trained there" in told.sentence


def test_a_knob_that_is_not_active_is_so_in_every_table(folder: Path) -> None:
    found = find(gather(folder))
    known = found.changes[0]
    courses = (Course(known.path, (0.1, 0.1), (0.0, 0.0)), Course("other", (1.0, 1.0), (1.0, 1.0)))
    found = replace(
        found, changes=(replace(known, new=NOT_ACTIVE),), schedules=replace(found.schedules, courses=courses)
    )
    assert constants(found) == [(known.path, "0.1", NOT_ACTIVE, True), ("other", "1", "1", False)]


def test_a_knob_that_acts_after_the_step_of_comparison_is_not_called_important(tmp_path: Path) -> None:
    make_folder(tmp_path / "s", Story(trials=30))
    material = gather(tmp_path / "s")
    known = find(material).importance
    assert known is not None
    late = known.knobs[0]
    found = find(replace(material, planned={**material.planned, "acting": {late: known.level.step}}))
    assert found.importance is not None and late not in found.importance.knobs
    assert f"act only later: {late}." in importance_note(found)
    assert main_knobs(material.space.knobs, found.importance, material.records.trials, found.level)[0][-1] == late
