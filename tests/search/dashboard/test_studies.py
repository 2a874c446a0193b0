"""All studies in one dashboard: copies, kept up to date; the searches' own files are only read."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.dashboard.studies import Live, Studies
from search.sampling.study import StudyFile


def a_trial(number: int, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    domain = optuna.distributions.FloatDistribution(0, 1)
    made = optuna.trial.create_trial(
        state=state,
        params={"lr": 0.5},
        distributions={"lr": domain},
        value=0.1 * number if state == TrialState.COMPLETE else None,
        intermediate_values={1: 0.3},
        user_attrs={"status": "completed", "reason": ""},
    )
    made.number = made._trial_id = number
    return made


def study(results: Path, name: str, trials: int) -> tuple[StudyFile, list[FrozenTrial]]:
    (results / name).mkdir(exist_ok=True)
    file = StudyFile(results / name / "study.journal", name, StudyDirection.MINIMIZE, "mae")
    made = [a_trial(number) for number in range(trials)]
    file.write(made)
    return file, made


def shown(studies: Studies) -> dict[str, list[float | None]]:
    storage = studies.storage()
    return {
        each.study_name: [trial.value for trial in storage.get_all_trials(each._study_id)]
        for each in storage.get_all_studies()
    }


def test_all_studies_are_shown_and_followed(tmp_path: Path) -> None:
    file, made = study(tmp_path, "b", 2)
    studies = Studies(tmp_path)
    assert studies.changed() and not studies.changed()
    assert shown(studies) == {"b": [0.0, 0.1]}
    running = a_trial(2, TrialState.RUNNING)
    file.create(running)
    file.report(running, 2, 0.25)
    study(tmp_path, "a", 1)
    assert studies.changed()
    storage = studies.storage()
    assert [each.study_name for each in storage.get_all_studies()] == ["b", "a"]  # new ones last: addresses stay
    last = storage.get_all_trials(0)[-1]
    assert (last.state, last.intermediate_values) == (TrialState.RUNNING, {1: 0.3, 2: 0.25})
    file.end(a_trial(2), [*made, a_trial(2)])
    assert studies.changed()
    assert shown(studies)["b"] == [0.0, 0.1, 0.2]


def test_equal_names_and_broken_files_do_no_harm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path, "a", 1)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "study.journal").write_bytes((tmp_path / "a" / "study.journal").read_bytes())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "study.journal").write_text('{"op_code": 99}\nno json\n')
    studies = Studies(tmp_path)
    assert studies.changed()
    assert shown(studies) == {"a": [0.0], "a (copy)": [0.0]}
    assert "broken" in capsys.readouterr().err


def ask(live: Live, method: str, path: str, body: Any = None) -> tuple[str, Any]:
    """A request to the WSGI application."""
    data = json.dumps(body).encode() if body is not None else b""
    status: list[str] = []
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "wsgi.input": BytesIO(data), "wsgi.errors": BytesIO(), "wsgi.url_scheme": "http",
        "CONTENT_LENGTH": str(len(data)), "CONTENT_TYPE": "application/json",
    }  # fmt: skip
    answer = b"".join(live(environ, lambda code, *_: status.append(code)))
    return status[0], json.loads(answer) if answer else None


def test_what_is_done_in_the_dashboard_does_not_reach_the_search(tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    study(tmp_path, "a", 2)
    before = (tmp_path / "a" / "study.journal").read_bytes()
    live = Live(Studies(tmp_path))
    status, found = ask(live, "GET", "/api/studies")
    assert status.startswith("200") and [each["study_name"] for each in found["study_summaries"]] == ["a"]
    assert ask(live, "DELETE", "/api/studies/0", {"remove_associated_artifacts": False})[0].startswith("20")
    assert ask(live, "GET", "/api/studies")[1]["study_summaries"] == []
    assert (tmp_path / "a" / "study.journal").read_bytes() == before
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "a" / "study.journal")))
    assert len(storage.get_all_trials(0)) == 2
    study(tmp_path, "b", 1)
    live.refresh()
    assert len(ask(live, "GET", "/api/studies")[1]["study_summaries"]) == 2
