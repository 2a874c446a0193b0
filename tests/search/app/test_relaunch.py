import os
import subprocess
import sys
import time
from dataclasses import astuple

import pytest

from search.app.relaunch import FRUITLESS, VARIABLE, Relaunched, taken
from search.common.exit_codes import Exit

PROGRAM = """\
import sys
from search.app.relaunch import Relaunched, relaunch
from trainables.screen import Screen
left = Relaunched(fruitless={fruitless})
sys.stdout = Screen(sys.stdout)
relaunch("Ray's GCS ended" + " " * {more}, left, {own}, "the command", print)
print("never")
"""


def ended(fruitless: int, own: bool) -> "subprocess.CompletedProcess[str]":
    program = PROGRAM.format(fruitless=fruitless, own=own, more=0)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_a_program_that_called_the_search_is_not_started_again() -> None:
    done = ended(0, own=True)
    assert done.returncode == Exit.TRY_AGAIN and done.stderr == ""
    assert done.stdout == ("Ray's GCS ended: nothing is lost; is memory short (dmesg)? go on with: the command\n")


def test_a_cluster_that_was_joined_is_not_started_again() -> None:
    done = ended(0, own=False)
    assert done.returncode == Exit.TRY_AGAIN
    assert "when the cluster is up again, go on with: the command" in done.stdout


def test_what_it_says_is_printed_before_it_ends() -> None:
    program = PROGRAM.format(fruitless=0, own=True, more=500_000)  # more than a pipe takes at once
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        time.sleep(0.3)
        assert (first + process.stdout.read()).endswith(b"go on with: the command\n")


def test_it_says_how_often_it_was_in_vain() -> None:
    assert f"for the {FRUITLESS + 1}th time without an evaluation between" in ended(FRUITLESS, own=True).stdout


def test_what_is_left_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    left = Relaunched(1, 40, 2, "SIGTERM")
    monkeypatch.setenv(VARIABLE, " ".join(map(str, astuple(left))))
    assert taken() == left
    assert VARIABLE not in os.environ
    assert taken() == Relaunched()


def test_without_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    left = Relaunched(0, 0, 2)
    monkeypatch.setenv(VARIABLE, " ".join(map(str, astuple(left))))
    assert taken() == left
