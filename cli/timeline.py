"""The command `timeline`: a job's emotions over time."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from cli.options import Duration, filter_from, filter_options, settings_options
from cli.output_files import written
from cli.period import period_from, period_options
from cli.views.lines import say

if TYPE_CHECKING:
    from results.read.timelines import By
    from workers.settings import Settings


@click.command()
@click.argument("job", required=False)
@click.option("--bucket", type=Duration(days=7), default="1s", help="Length of one row: 500ms, 1s, 2m.")
@click.option("--by", type=click.Choice(["media", "track", "job"]), default="media", help="One series for each.")
@click.option("--affect", is_flag=True, help="Add valence and arousal, a projection of the emotions, -1 to 1.")
@filter_options
@period_options
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", help="Form of output.")
@settings_options("database_url")
def timeline(
    settings: "Settings",
    job: str | None,
    bucket: int,
    by: "By",
    affect: bool,
    style: str,
    last: int | None,
    until: datetime | None,
    zone: ZoneInfo | None,
    **options: Any,
) -> None:
    """The emotions of a job, or of a stream by its name, over time. Of the newest job if none is named."""
    from cli.connection import asked_about
    from cli.views.timeline import print_rows
    from results.read.naming import stream_of
    from results.read.timelines import COLUMNS, WITH_AFFECT
    from results.read.timelines import timeline as rows_of

    terms: dict[str, Any] = {"face_filter": filter_from(**options), "period": period_from(last, until, zone)}
    with asked_about(settings, job) as (session, job_id):
        rows = rows_of(session, job_id, bucket_ms=bucket, by=by, with_affect=affect, **terms)
        if style == "csv":
            _print_csv(_written(rows, zone), WITH_AFFECT if affect else COLUMNS)
            return
        whole, stream = list(rows), stream_of(session, job_id)
    # Now that nothing is read any more: a pager may wait for hours, and SQLite's log would grow meanwhile.
    if style == "table":
        print_rows(iter(whole), stream=stream, zone=zone)
    else:
        say(json.dumps(list(_written(whole, zone))))


def _written(rows: Iterable[dict[str, Any]], zone: ZoneInfo | None) -> Iterator[dict[str, Any]]:
    """The rows with their moments as text."""
    return (row | {"at": row["at"] and row["at"].astimezone(zone or UTC).isoformat()} for row in rows)


def _print_csv(rows: Iterator[dict[str, Any]], columns: Sequence[str]) -> None:
    with written(None) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text.detach()
