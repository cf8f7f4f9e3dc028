"""Watching a job until it ends: a progress bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import Engine as Database

from fer_model.sources.discover import PassedOver
from results.database import reading
from results.plans import MediaPlan
from results.read.status import JobStatus, job_status

POLL_S = 0.25
LINE_S = 5.0
FINISHED = ("done", "failed", "cancelled")

Show = Callable[[JobStatus], None]


def follow(database: Database, job_id: str, check: Callable[[], None] = lambda: None) -> JobStatus:
    """Shows a job's progress until it has ended; `check` may raise if its worker has died."""
    with _shown() as show:
        while True:
            with reading(database) as session:
                status = job_status(session, job_id)
            show(status)
            if status.state in FINISHED:
                return status
            check()
            time.sleep(POLL_S)


@contextmanager
def planning() -> Iterator[Callable[[MediaPlan], None]]:
    """Shows the number of planned files on a terminal; yields the function that `submit` calls for each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda medium: None
        return
    with console.status("looking for files") as status:
        count = 0

        def tell(medium: MediaPlan) -> None:
            nonlocal count
            count += 1
            status.update(f"planning: {count:,} files, now {escape(medium.uri)}")

        yield tell


def print_passed_over(passed_over: PassedOver) -> None:
    """What lay in the folders and is no part of the job, on stderr."""
    if sentence := passed_over.sentence():
        print(f"Passed over: {sentence}", file=sys.stderr)


def print_summary(status: JobStatus) -> None:
    """The job's figures on stdout, and its failures on stderr, one sentence for each file."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    state = {"done": "[green]done", "failed": "[red]failed"}.get(status.state, status.state)
    rows = [("job", status.job), ("state", state), ("files", f"{status.media:,}"), ("frames", f"{status.frames:,}")]
    rows.append(("faces", f"{status.faces:,}"))
    if status.fps:
        rows.append(("time", f"{status.frames / status.fps:,.0f} s: {status.fps:,.1f} frames per second"))
    if status.ensembles:
        rows.append(("models", ", ".join(map(escape, status.ensembles))))
    for name, value in rows:
        table.add_row(f"[bold]{name}", value)
    Console().print(table)
    print_errors(status)


def print_errors(status: JobStatus) -> None:
    """The sentences about files that could not be read, on stderr."""
    for failure in status.errors:
        uri, reason = failure["uri"], failure["error"]
        print(f"Failed: {reason if reason.startswith(uri) else f'{uri}: {reason}'}", file=sys.stderr)


@contextmanager
def _shown() -> Iterator[Show]:
    console = Console(stderr=True)
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
        print(
            f"{phase}: {status.frames:,} of {status.planned_frames:,} frames, {status.faces:,} faces, "
            f"{status.fps:.1f} frames/s",
            file=sys.stderr,
            flush=True,
        )

    return show


def _phase(status: JobStatus) -> str:
    if status.state in FINISHED:
        return status.state
    if not status.frames:
        return "preparing the networks" if status.shards["running"] else "waiting for a worker"
    return "analysing" if sum(status.shards[state] for state in ("pending", "running")) else "finishing"
