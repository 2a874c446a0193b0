"""Looking at what runs on a cluster, ending it, and bringing its results back."""

import argparse
import time
from collections.abc import Callable
from datetime import datetime

from search.common.clock import now
from search.common.exit_codes import Exit
from search.submit import fetch as fetching
from search.submit.follow import Final, Output, follow, meaning, show, table
from search.submit.head import Head, Job, asked, head_at
from search.submit.submission import DEFAULT_RESULTS, STOP_SECONDS
from spaces.problems import BadInput

Say = Callable[[str], None]
POLL_SECONDS = 1.0
GRACE_SECONDS = 10.0  # beyond what Ray gives the job
SHOWN = 8  # names of files


def status(options: argparse.Namespace, say: Say) -> int:
    """How a job stands."""
    job = _named(head_at(options.address), options.job)
    code = f", exit code {job.exit_code}" if job.exit_code is not None else ""
    say(f"{job.id}: {job.status.lower()}{code}")
    facts = {"search": job.search, "results": job.results, "began": _clock(job.began), "ended": _clock(job.ended)}
    for what, value in facts.items():
        if value is not None:
            say(f"{what:<9}{value}")
    if job.status == "FAILED" and job.message:
        say(job.message.strip())
    return Exit.DONE


def logs(options: argparse.Namespace, say: Say) -> int:
    """What a job has printed; with -f until it ends, with the exit code that it has."""
    head = head_at(options.address)
    job = _named(head, options.job)
    if not options.follow:
        printed = asked(head, lambda: head.logs(job.id))
        if printed is None:
            raise _gone(job)
        show(printed)
        return Exit.DONE
    ended = asked(head, lambda: follow(head, job.id, Output(show)))
    if ended is None:
        raise _gone(job)
    outcome = meaning(ended, again=False)
    if outcome.why:
        say(f"job {job.id}: {outcome.why}")
    return outcome.code if isinstance(outcome, Final) else Exit.FAILED


def stop(options: argparse.Namespace, say: Say) -> int:
    """End a job in order, and wait until it has."""
    head = head_at(options.address)
    job = _named(head, options.job)
    if not asked(head, lambda: head.stop(job.id)):
        say(f"{job.id} is over already: {job.status.lower()}")
        return Exit.DONE
    say(f"{job.id}: ending; trials keep their last evaluation")
    until = time.monotonic() + STOP_SECONDS + GRACE_SECONDS
    while time.monotonic() < until:
        known = asked(head, lambda: head.job(job.id))
        if known is None or known.over:
            say(f"{job.id}: {known.status.lower() if known else 'gone'}; the same submission goes on with {job.search}")
            return Exit.DONE
        time.sleep(POLL_SECONDS)
    say(f"{job.id}: still ending; see `status`")
    return Exit.FAILED


def listing(options: argparse.Namespace, say: Say) -> int:
    """The searches on the cluster, the newest first."""
    head = head_at(options.address)
    jobs = asked(head, head.jobs)
    for line in table(jobs, now()):
        say(line)
    if not jobs:
        say(f"no searches at {head.address}")
    return Exit.DONE


def fetch(options: argparse.Namespace, say: Say) -> int:
    """Bring a search's result here."""
    known, place = None, options.storage or options.results or ""
    if "://" not in place:
        head = head_at(options.address)
        known = next((job for job in asked(head, head.jobs) if job.search == options.name), None)
        place = place or (known.results if known is not None else None) or DEFAULT_RESULTS
    if "://" in place:
        files = fetching.fetch_stored(place, options.name, options.to)
    else:
        files = asked(head, lambda: fetching.fetch(head, f"{place.rstrip('/')}/{options.name}", options.to))
    names = [file.relative_to(options.to).as_posix() for file in files]
    say(f"{len(files)} files in {options.to}: {', '.join(names[:SHOWN])}" + (", …" if len(names) > SHOWN else ""))
    if fetching.BEST not in names:
        state = f", and its job is {known.status.lower()}" if known is not None else ""
        say(f"warning: no {fetching.BEST}: the search has not come to one yet{state}")
    return Exit.DONE


def _named(head: Head, name: str) -> Job:
    """The job of this id, else the newest one of the search of this name. Raises BadInput for neither."""
    job = asked(head, lambda: head.job(name))
    jobs = asked(head, head.jobs) if job is None else []
    job = job or next((each for each in jobs if each.search == name), None)
    if job is not None:
        return job
    there = ", ".join(sorted({each.search for each in jobs if each.search})[:SHOWN]) or "none"
    what = f"the cluster knows no job and no search of this name (its searches: {there}); with a head go its jobs"
    raise BadInput.of(name, what)


def _gone(job: Job) -> BadInput:
    return BadInput.of(job.id, "the cluster knows nothing of it any more")


def _clock(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")
