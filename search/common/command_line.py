"""What every command does alike: print safely, answer bad input and an interruption with their exit codes."""

import argparse
import os
import re
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import TextIO, cast

from rich.console import Console

from search.common.exit_codes import Exit, explained
from search.common.store_uri import mask
from spaces.problems import BadInput, bad_input
from trainables.screen import Screen

HELP_WIDTH = 78
SHOWN = 20  # problems with the input on one screen
_COMMAND = re.compile(r"(python\S* -m|schedule-search) \S")
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a command to end. Windows has no SIGHUP."""


def command(body: Callable[[Console, Screen], int]) -> int:
    """Run `body` and return its exit code; 2, and the problems on stderr, for BadInput; 130 for an interruption.

    Args:
        body: The command; it prints to the console, which writes to the screen.

    """
    if any(option.startswith("error") for option in sys.warnoptions):
        warnings.simplefilter("default")  # a library's warning would end the search in the middle of its work,
        os.environ.pop("PYTHONWARNINGS", None)  # and one in a process of Ray's its start
        complain("warning: warnings are shown, not errors: -W error and PYTHONWARNINGS=error are for tests")
    screen = Screen(sys.stdout)
    stream = cast(TextIO, screen)
    try:
        with handled(_stop), redirect_stdout(stream):  # print, here and in libraries, is safe, too
            return body(Console(file=stream), screen)
    except (BadInput, OSError) as error:
        screen.drain()  # what was said before comes first
        problems = bad_input(error).problems
        for problem in problems[:SHOWN]:
            complain(f"error: {mask(str(problem))}")
        if len(problems) > SHOWN:
            complain(f"… and {len(problems) - SHOWN} more")
        return Exit.BAD_INPUT
    except KeyboardInterrupt:
        complain("\ninterrupted")
        return Exit.INTERRUPTED
    finally:
        screen.drain()


def argument_parser(module: str, description: str, codes: Sequence[Exit], *examples: str) -> argparse.ArgumentParser:
    """The parser of `python -m MODULE`, whose `--help` ends with examples of what follows that, and the exit codes."""
    shown = "".join(f"  python -m {module} {example}\n" for example in examples)
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=textwrap.fill(description, HELP_WIDTH),
        epilog=f"{'examples:' if shown else ''}\n{shown}\n{textwrap.fill(explained(*codes), HELP_WIDTH)}".lstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def say(console: Console, text: str) -> None:
    """Print `text`. On a terminal, lines are broken between words; one that holds a command stays whole, so that it can
    be copied.
    """
    for line in text.split("\n"):
        whole = not console.is_terminal or _COMMAND.search(line) is not None
        console.print(line, highlight=False, markup=False, soft_wrap=whole)


def complain(text: str) -> None:
    """Print `text` to stderr, if anybody is there."""
    with suppress(OSError, ValueError):
        encoding = sys.stderr.encoding or "utf-8"
        say(Console(file=sys.stderr), text.encode(encoding, "replace").decode(encoding))
        sys.stderr.flush()


@contextmanager
def handled(stop: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have `stop` called for each signal of `STOPPING` while the block runs; one that the caller has set to be ignored
    (`nohup`) stays ignored."""
    chosen = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in chosen}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt
