"""Showing a download: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cli.views.lines import say
from cli.views.terminal import terminal
from fer_model.networks.download import Report
from fer_model.networks.published import Remote
from results.printable import shown

LINE_S = 5.0
MB = 1e6


@contextmanager
def downloads() -> Iterator[Callable[[Remote], Report]]:
    """Yields a function to call before each download; it returns the one that gets the progress."""
    console = terminal(stderr=True)
    if not console.is_terminal:
        yield _lines
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:

        def begin(remote: Remote) -> Report:
            task = bar.add_task(shown(remote.name), total=None)
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
        say(f"{remote.name}: {done / MB:.1f}{total} MB", err=True)

    return report
