"""Showing a download: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from fer_model.networks.download import Report
from fer_model.networks.published import Remote

LINE_S = 5.0
MB = 1e6


@contextmanager
def downloads() -> Iterator[Callable[[Remote], Report]]:
    """Yields a function to call before each download; it returns the one that gets the progress."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:

        def begin(remote: Remote) -> Report:
            task = bar.add_task(remote.name, total=None)
            return lambda done, size: bar.update(task, completed=done, total=size)

        yield begin


def _lines(remote: Remote) -> Report:
    last = time.monotonic()

    def report(done: int, size: int | None) -> None:
        nonlocal last
        if done != size and time.monotonic() - last < LINE_S:
            return
        last = time.monotonic()
        total = "" if size is None else f" of {size / MB:.1f}"
        print(f"{remote.name}: {done / MB:.1f}{total} MB", file=sys.stderr, flush=True)

    return report
