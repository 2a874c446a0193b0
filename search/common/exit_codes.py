"""What the exit code of every command means."""

from enum import IntEnum


class Exit(IntEnum):
    """An exit code; an `int`, so that `sys.exit` and comparisons take it as it is."""

    DONE = 0
    FAILED = 1
    """What the command stands for (a job, its cluster, a server) failed."""
    BAD_INPUT = 2
    NO_TRIAL = 3
    TRY_AGAIN = 75
    """The machine failed, not the search: `EX_TEMPFAIL` of sysexits.h."""
    INTERRUPTED = 130


_SAID = {
    Exit.DONE: "done",
    Exit.FAILED: "it failed, for a reason that it says",
    Exit.BAD_INPUT: "bad input: nothing was trained or written",
    Exit.NO_TRIAL: "no trial succeeded, or most failed the same way",
    Exit.TRY_AGAIN: "the machine failed (Ray's processes, the folder, memory): the same command goes on",
    Exit.INTERRUPTED: "interrupted (Ctrl-C, SIGTERM, SIGHUP): the same command goes on",
}


def explained(*codes: Exit) -> str:
    """The exit codes that a command may have, as the last line of its `--help`."""
    return "Exit codes: " + "; ".join(f"{int(code)} {_SAID[code]}" for code in codes) + "."
