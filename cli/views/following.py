"""Watching a job until it ends: a progress bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import Engine as Database

from cli.views.lines import say
from cli.views.terminal import safe_text, terminal
from fer_model.sources.discover import PassedOver
from results.database import reading
from results.plans import MediaPlan
from results.read.status import JobStatus, job_status, sentence
from workers.lease.outages import OUTAGES, PAUSE_S

T = TypeVar("T")

POLL_S = 0.25
OUTAGE_S, FILE_S = 600.0, 20.0
"""How long a PostgreSQL server that is away is waited for, and an SQLite file."""

LINE_S = 5.0
FINISHED = ("done", "failed", "cancelled")
COLOURS = {"done": "green", "failed": "red"}

Show = Callable[[JobStatus], None]


def follow(database: Database, job_id: str, check: Callable[[], None] = lambda: None, quiet: bool = False) -> JobStatus:
    """Shows a job's progress until it has ended, or only waits; `check` may raise if its worker has died.

    An outage of the database is waited for, as the workers do. Raises `UnknownJobError` once the job was deleted.
    """

    def look() -> JobStatus:
        with reading(database) as session:
            return job_status(session, job_id)

    with nullcontext(_nothing) if quiet else _shown() as show:
        while True:
            show(status := outlasting(database, look, meanwhile=check))
            if status.state in FINISHED:
                return status
            outlasting(database, check)
            time.sleep(POLL_S)


def outlasting(
    database: Database,
    call: Callable[[], T],
    stop: Callable[[], bool] = lambda: False,
    meanwhile: Callable[[], None] = lambda: None,
) -> T:
    """What `call` returns; calls it again while the database is away, for `OUTAGE_S` or until `stop`, and says so once.

    Calls `meanwhile` before each retry, for what else may have ended. Raises the outage if it lasts longer.
    """
    # A file is away only as long as others write to it; what is missing or damaged does not come back.
    until = time.monotonic() + (OUTAGE_S if database.dialect.name == "postgresql" else FILE_S)
    is_told = False
    while True:
        try:
            return call()
        except OUTAGES:
            if stop() or time.monotonic() > until:
                raise
            if not is_told:
                say(
                    "Note: the database does not answer; the work goes on without it, and this command waits.", err=True
                )
            is_told = True
        with suppress(*OUTAGES):
            meanwhile()
        time.sleep(PAUSE_S)


@contextmanager
def planning(quiet: bool = False) -> Iterator[Callable[[MediaPlan], None]]:
    """Shows the number of planned files on a terminal; yields the function that `submit` calls for each."""
    console = terminal(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda medium: None
        return
    with console.status("looking for files") as status:
        count = 0

        def tell(medium: MediaPlan) -> None:
            nonlocal count
            count += 1
            status.update(safe_text(f"planning: {count:,} files, now {medium.uri}"))

        yield tell


def print_passed_over(passed_over: PassedOver) -> None:
    """What lay in the folders and is no part of the job, on stderr."""
    if sentence := passed_over.sentence():
        say(f"Passed over: {sentence}", err=True)


def print_summary(status: JobStatus) -> None:
    """The job's figures on stdout, and a sentence about each file that failed or has a note on stderr."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    counts = {"files": status.media, "frames": status.frames, "faces": status.faces}
    rows = [("job", status.job), ("state", status.state)]
    rows += [("failed", status.failures)] if status.failures else []
    rows += [("missing", f"files of {status.missing:,} pieces on the workers")] if status.missing else []
    rows += [(name, f"{count:,}") for name, count in counts.items()]
    if status.fps:
        rows.append(("time", f"{status.frames / status.fps:,.0f} s: {status.fps:,.1f} frames per second"))
    if status.ensembles:
        rows.append(("models", ", ".join(status.ensembles)))
    for name, value in rows:
        colour = COLOURS.get(value if name == "state" else name, "")
        table.add_row(safe_text(name, "bold"), safe_text(value, colour))
    terminal().print(table)
    print_errors(status)


def print_errors(status: JobStatus) -> None:
    """The sentences about files that failed, their count first, and the notes about others, on stderr."""
    if status.failures:
        say(f"{status.failures}.", err=True)
    for failure in status.errors:
        word = "Failed" if failure["state"] == "failed" else "Note"
        say(f"{word}: {sentence(failure)}", err=True)
    if more := max(0, status.failed + status.noted - len(status.errors)):
        say(f"And {more:,} more; they are in the table media.", err=True)


def print_attempts(attempts: Sequence[Mapping[str, Any]]) -> None:
    """The attempts at a job's shards that ended without rows (`results.attempts.Attempt`), one line each."""
    for each in attempts:
        place = f"piece {each['shard_id']}" + (f" ({each['uri']})" if each["uri"] else "")
        counted = "" if each["counted"] else ", not counted"
        worker = each["worker"] or "an unknown worker"
        say(f"Attempt {each['epoch']} at {place} on {worker}, until {each['ended_at']}{counted}: {each['error']}")


def _nothing(status: JobStatus) -> None:
    """Shows nothing."""


@contextmanager
def _shown() -> Iterator[Show]:
    console = terminal(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, finished_style="green"),
        MofNCompleteColumn(),
        TextColumn("frames · {task.fields[fps]:.1f}/s · {task.fields[faces]:,} faces"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("waiting", total=None, fps=0.0, faces=0)

        def show(status: JobStatus) -> None:
            bar.update(
                task,
                description=_phase(status),
                completed=status.frames,
                total=max(status.planned_frames, 1) if status.frames else None,
                fps=status.fps,
                faces=status.faces,
            )

        yield show


def _lines() -> Show:
    last = 0.0
    phase = ""

    def show(status: JobStatus) -> None:
        nonlocal last, phase
        if _phase(status) == phase and time.monotonic() - last < LINE_S:
            return
        last, phase = time.monotonic(), _phase(status)
        say(
            f"{phase}: {status.frames:,} of {status.planned_frames:,} frames, {status.faces:,} faces, "
            f"{status.fps:.1f} frames/s",
            err=True,
        )

    return show


def _phase(status: JobStatus) -> str:
    if status.state in FINISHED:
        return status.state
    if status.missing and not status.shards["running"]:
        return f"waiting for files of {status.missing:,} pieces, which are missing on the workers"
    if not status.frames:
        return "preparing the networks" if status.shards["running"] else "waiting for a worker"
    return "analysing" if sum(status.shards[state] for state in ("pending", "running")) else "finishing"
