"""The command that shows what was found: timeline."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import Duration, filter_from, filter_options, settings_options

if TYPE_CHECKING:
    from workers.settings import Settings

TERMINAL_ROWS = 40
BAR_WIDTH = 10
COLOURS = {
    "angry": "red",
    "disgust": "green",
    "fear": "magenta",
    "happy": "yellow",
    "sad": "blue",
    "surprise": "cyan",
    "neutral": "white",
}
"""Names of the terminal's own palette, which its owner has made readable."""


@click.command()
@click.argument("job", required=False)
@click.option("--bucket", type=Duration(), default="1s", help="Length of one row: 500ms, 1s, 2m.")
@click.option("--by", type=click.Choice(["media", "track", "job"]), default="media", help="One series for each.")
@filter_options
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", help="Form of output.")
@settings_options("database_url")
def timeline(settings: "Settings", job: str | None, bucket: int, by: str, style: str, **options: Any) -> None:
    """What the faces of a job showed, over time; the newest job, if none is named."""
    from cli.connection import asked_about
    from results.read.timelines import timeline as rows_of

    face_filter = filter_from(**options)
    with asked_about(settings, job) as (session, job_id):
        rows = rows_of(session, job_id, bucket_ms=bucket, by=by, face_filter=face_filter)  # type: ignore[arg-type]
        if style == "table":
            _print_table(rows, limit=None)
        elif style == "csv":
            _print_csv(rows)
        else:
            click.echo(json.dumps(list(rows)))


def print_timeline(database: Any, job_id: str) -> None:
    """A job's timeline by second, its first rows."""
    from results.database import reading
    from results.read.timelines import timeline as rows_of

    with reading(database) as session:
        _print_table(rows_of(session, job_id), limit=TERMINAL_ROWS)


def _print_csv(rows: Iterator[dict[str, Any]]) -> None:
    from results.read.timelines import COLUMNS

    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _print_table(rows: Iterator[dict[str, Any]], limit: int | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    # 80 columns must do: only the file's name gives way.
    table.add_column("file", no_wrap=True, overflow="ellipsis", max_width=40)
    table.add_column("time", justify="right", no_wrap=True, min_width=7)
    table.add_column("faces", justify="right", no_wrap=True, min_width=5)
    table.add_column("emotion", no_wrap=True, min_width=8)
    table.add_column("mean", no_wrap=True, min_width=BAR_WIDTH + 5)
    table.add_column("then", no_wrap=True, min_width=12)
    more = 0
    for number, row in enumerate(rows):
        if limit is None or number < limit:
            table.add_row(*_cells(row))
        else:
            more += 1
    console = Console()
    console.print(table)
    if more:
        console.print(f"… and {more:,} more rows: [bold]fer-batch timeline[/bold]")


def _cells(row: dict[str, Any]) -> list[str]:
    from rich.markup import escape

    from results.emotions import EMOTIONS
    from results.read.times import exact_clock

    track = "" if row["track_id"] is None else f" #{row['track_id']}"
    name = escape((Path(row["uri"]).name if row["uri"] else "all files") + track)
    place = [name, exact_clock(row["start_ms"]), f"{row['faces']:,}"]
    if row["emotion"] is None:
        return [*place, "[dim]no face[/dim]", "", ""]
    first, second = sorted(EMOTIONS, key=lambda emotion: -row[emotion])[:2]
    colour = COLOURS[first]
    bar = "█" * round(row[first] * BAR_WIDTH)
    return [
        *place,
        f"[{colour}]{first}[/]",
        f"[{colour}]{bar:<{BAR_WIDTH}}[/] {row[first]:>4.0%}",
        f"{second} {row[second]:.0%}",
    ]
