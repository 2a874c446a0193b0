import signal
import sys
import warnings
from io import StringIO

import pytest
from rich.console import Console

from search.common.command_line import SHOWN, command, handled, say
from search.common.exit_codes import Exit, explained
from search.run import main
from spaces.problems import BadInput, Problem
from trainables.screen import Screen


def test_bad_input_is_told_without_its_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    def body(console: Console, screen: Screen) -> int:
        raise BadInput([Problem("uri", "http://user:PW@host/ is wrong")] * (SHOWN + 2))

    assert command(body) == Exit.BAD_INPUT
    error = capsys.readouterr().err.splitlines()
    assert error[0] == "error: uri: http://***@host/ is wrong"
    assert error[SHOWN:] == ["… and 2 more"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_that_asks_to_end(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    def body(console: Console, screen: Screen) -> int:
        signal.raise_signal(number)
        raise AssertionError("it went on")

    inherited = signal.signal(number, signal.default_int_handler)  # under nohup or in the background it may be ignored
    try:
        assert command(body) == Exit.INTERRUPTED
        assert capsys.readouterr().err == "\ninterrupted\n"
        assert signal.getsignal(number) == signal.default_int_handler
    finally:
        signal.signal(number, inherited)


def test_a_signal_that_is_to_be_ignored_stays_ignored() -> None:
    def stop(number: int, frame: object) -> None:
        raise AssertionError("it was heard")

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handled(stop):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_warnings_as_errors_are_set_aside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def body(console: Console, screen: Screen) -> int:
        warnings.warn("old", stacklevel=1)
        return Exit.DONE

    monkeypatch.setattr(sys, "warnoptions", ["error"])
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    with warnings.catch_warnings(record=True):
        assert command(body) == Exit.DONE
    assert "warnings are shown, not errors" in capsys.readouterr().err


def test_help_says_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert " ".join(explained(*Exit).split()) in said
    assert all(f"{int(code)} " in said for code in Exit)


def test_a_terminal_breaks_sentences_between_words_and_no_command() -> None:
    for terminal, first in ((True, "a sentence of several"), (False, "a sentence of several words")):
        out = StringIO()
        say(
            Console(file=out, width=25, force_terminal=terminal),
            "a sentence of several words\ngo on: python -m x y --z 1",
        )
        assert out.getvalue().splitlines()[0].rstrip() == first
        assert "go on: python -m x y --z 1" in out.getvalue()
