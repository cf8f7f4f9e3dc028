"""Commands that show what was found: timeline, annotate."""

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cli.options import connection_options

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
TERMINAL_ROWS = 40


class Duration(click.ParamType[int]):
    """`500ms`, `1s`, `2m`: as milliseconds."""

    name = "duration"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value)
        if not match or (duration := round(float(match[1]) * UNITS_MS[match[2]])) < 1:
            self.fail(f"{value!r} is not a duration; write 500ms, 1s or 2m.", parameter, context)
        return duration


@click.command()
@click.argument("job", required=False)
@click.option("--bucket", type=Duration(), default="1s", help="Length of one row: 500ms, 1s, 2m.")
@click.option("--by", type=click.Choice(["media", "track", "job"]), default="media", help="One series for each.")
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", help="Form of output.")
@connection_options(broker=False)
def timeline(job: str | None, bucket: int, by: str, style: str) -> None:
    """What the faces of a job showed, over time; the newest job, if none is named."""
    from cli.database import current_database, job_or_newest
    from results.database import reading
    from results.timelines import timeline as rows_of

    database = current_database()
    with reading(database) as session:
        job_id = job_or_newest(session, job).id
        rows = rows_of(session, job_id, bucket_ms=bucket, by=by)  # type: ignore[arg-type]
        if style == "table":
            _print_table(rows, limit=None)
        elif style == "csv":
            _print_csv(rows)
        else:
            click.echo(json.dumps(list(rows)))


def print_timeline(database: Any, job_id: str) -> None:
    """A job's timeline by second, its first rows."""
    from results.database import reading
    from results.timelines import timeline as rows_of

    with reading(database) as session:
        _print_table(rows_of(session, job_id), limit=TERMINAL_ROWS)


def _print_csv(rows: Iterator[dict[str, Any]]) -> None:
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def _print_table(rows: Iterator[dict[str, Any]], limit: int | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("file", "time", box=None, pad_edge=False, header_style="bold")
    for title in ("faces", "emotion", *EMOTIONS):
        table.add_column(title, justify="right" if title == "faces" else "left")
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
    name = Path(row["uri"]).name if row["uri"] else "all"
    track = "" if row["track_id"] is None else f" #{row['track_id']}"
    shares = [f"{_bar(row[emotion])}" for emotion in EMOTIONS]
    return [name + track, _clock(row["start_ms"]), str(row["faces"]), row["emotion"] or "–", *shares]


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    return f"{share:>4.0%} {'▏▎▍▌▋▊▉█'[min(7, int(share * 8))] if share >= 0.05 else ''}"


def _clock(ms: int) -> str:
    minutes, rest = divmod(ms, 60_000)
    return f"{minutes // 60:d}:{minutes % 60:02d}:{rest / 1000:06.3f}".removesuffix(".000")
