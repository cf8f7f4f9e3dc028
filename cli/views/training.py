"""A training run: live with a curve on a terminal, in plain lines elsewhere."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine as Database

from cli.views.following import COLOURS, FINISHED, outlasting
from cli.views.lines import say
from cli.views.terminal import safe_text, terminal
from results.database import reading
from results.read.times import exact_clock
from results.training import TrainingStatus, training_status

POLL_S = 0.5
LAST_EPOCHS = 6
CURVE_ROWS = 14


def look_up(database: Database, run: str) -> TrainingStatus:
    """The run as it is now."""
    with reading(database) as session:
        return training_status(session, run)


def follow_training(database: Database, run: str, stop: Callable[[], bool] = lambda: False) -> TrainingStatus:
    """Shows a run on stderr until it has ended or `stop` returns true; returns its last status.

    An outage of the database is waited for, as in `follow`.
    """
    console = terminal(stderr=True)
    if not console.is_terminal:
        return _follow_in_lines(database, run, stop)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            # Before the look, so that the last picture shows the end.
            ending = stop()
            status = outlasting(database, partial(look_up, database, run), stop)
            live.update(picture(status, console.width), refresh=True)
            if status.state in FINISHED or ending:
                return status
            time.sleep(POLL_S)


def print_training(status: TrainingStatus) -> None:
    """The run as it is, on stdout: with a curve on a terminal, in plain lines elsewhere."""
    console = terminal()
    if console.is_terminal:
        console.print(picture(status, console.width))
        return
    say(_headline(status))
    for row in status.history:
        say(epoch_line(status, row))


def picture(status: TrainingStatus, width: int) -> RenderableType:
    """Headline, progress bar, the last epochs, and the curve of both accuracies."""
    parts: list[RenderableType] = [safe_text(_headline(status), COLOURS.get(status.state, "bold")), _bar(status)]
    if status.history:
        parts.append(_table(status.history[-LAST_EPOCHS:]))
    if len(status.history) > 1:
        parts.append(Text.from_ansi(curve(status.history, min(width, 100))))
    return Group(*parts)


def curve(history: list[dict[str, Any]], width: int) -> str:
    """Training and validation accuracy in per cent over the epochs, drawn with characters."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, CURVE_ROWS)
    for column, label, colour in (
        ("train_accuracy", "training", "blue"),
        ("validation_accuracy", "validation", "green"),
    ):
        points = [(row["epoch"], 100 * row[column]) for row in history if row[column] is not None]
        if points:
            plotext.plot(*zip(*points, strict=True), label=f"{label} %", color=colour)
    step = max(1, len(history) // 10)
    plotext.xticks([row["epoch"] for row in history][::step])
    return str(plotext.build())


def epoch_line(status: TrainingStatus, row: dict[str, Any]) -> str:
    """One epoch in one line of plain text."""
    trained = "" if row["train_accuracy"] is None else f"training {row['train_accuracy']:.2%}, "
    return (
        f"epoch {row['epoch']} of {status.epochs}: loss {row['loss']:.4f}, {trained}"
        f"validation {row['validation_accuracy']:.2%}, learning rate {row['learning_rate']:.3g}, {row['seconds']:.1f} s"
    )


def _follow_in_lines(database: Database, run: str, stop: Callable[[], bool]) -> TrainingStatus:
    shown_state = ""
    shown = 0
    while True:
        ending = stop()
        status = outlasting(database, partial(look_up, database, run), stop)
        for row in status.history[shown:]:
            say(epoch_line(status, row), err=True)
        shown = max(shown, len(status.history))
        if status.state != shown_state:
            shown_state = status.state
            say(_headline(status), err=True)
        if shown_state in FINISHED or ending:
            return status
        time.sleep(POLL_S)


def _headline(status: TrainingStatus) -> str:
    what = status.recipe or status.kind
    where = f" on {status.worker}" if status.worker and status.state == "running" else ""
    best = "" if status.best_accuracy is None else f"; best {status.best_accuracy:.2%} in epoch {status.best_epoch}"
    model = f"; model {status.model}" if status.model else ""
    error = f"; {status.error}" if status.error else ""
    return f"{status.run} ({what}): {status.state}{where}{best}{model}{error}"


def _bar(status: TrainingStatus) -> Progress:
    left = "" if not status.eta_seconds else f"· at most {exact_clock(1000 * round(status.eta_seconds))} left"
    bar = Progress(TextColumn("epoch"), BarColumn(), MofNCompleteColumn(), TextColumn(left))
    bar.add_task("", total=status.epochs, completed=status.epoch)
    return bar


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("epoch", "loss", "training", "validation", "learning rate", "seconds"):
        table.add_column(title, justify="right")
    for row in rows:
        trained = "" if row["train_accuracy"] is None else f"{row['train_accuracy']:.2%}"
        measured = (f"{row['loss']:.4f}", trained, f"{row['validation_accuracy']:.2%}")
        table.add_row(str(row["epoch"]), *measured, f"{row['learning_rate']:.3g}", f"{row['seconds']:.1f}")
    return table
