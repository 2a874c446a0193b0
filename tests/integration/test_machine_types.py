"""Nodes whose processors compute with other instructions, in one search."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search.history.events import Started
from search.history.journal import read
from tests.integration.conftest import make_project, run
from tests.integration.machines import Machines, missing

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


def trained_on(folder: Path) -> list[Mapping[str, Any]]:
    events = read(folder / "results/s/journal.jsonl")[0]
    return [event.machine for event in events if isinstance(event, Started)]


def test_trials_on_two_kinds_of_processor_are_said_to_differ_in_the_last_digits(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    if reason := missing():
        pytest.skip(reason)
    user = {**environment, "RAY_AUTH_MODE": "disabled"}
    machines = Machines(user)
    try:
        machines.add(variables={"ATEN_CPU_CAPABILITY": "default"})
        make_project(tmp_path)
        words = ["search.yaml", "--name", "s", "--address", machines.address, "--set", "data.generate.samples=4000"]
        code, output = run("search.run", words, tmp_path, user)
    finally:
        machines.end()
    assert code == 0, output
    assert {machine["instructions"] for machine in trained_on(tmp_path)} > {"DEFAULT"}, output
    told = [line for line in output.splitlines() if "another machine type" in line]  # of the search, of the fresh seeds
    assert told and "instructions" in told[0] and "DEFAULT" in told[0] and "differ in the last digits" in told[0]
