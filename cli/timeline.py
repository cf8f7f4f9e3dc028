"""The command `timeline`: a job's emotions over time."""

import csv
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli.options import Duration, filter_from, filter_options, settings_options
from cli.output_files import written
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@click.argument("job", required=False)
@click.option("--bucket", type=Duration(), default="1s", help="Length of one row: 500ms, 1s, 2m.")
@click.option("--by", type=click.Choice(["media", "track", "job"]), default="media", help="One series for each.")
@filter_options
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", help="Form of output.")
@settings_options("database_url")
def timeline(settings: "Settings", job: str | None, bucket: int, by: str, style: str, **options: Any) -> None:
    """The emotions of a job over time. Of the newest job if none is named."""
    from cli.connection import asked_about
    from cli.views.timeline import print_table
    from results.read.timelines import timeline as rows_of

    face_filter = filter_from(**options)
    with asked_about(settings, job) as (session, job_id):
        rows = rows_of(session, job_id, bucket_ms=bucket, by=by, face_filter=face_filter)  # type: ignore[arg-type]
        if style == "table":
            print_table(rows)
        elif style == "csv":
            _print_csv(rows)
        else:
            say(json.dumps(list(rows)))


def _print_csv(rows: Iterator[dict[str, Any]]) -> None:
    from results.read.timelines import COLUMNS

    with written(None) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text.detach()
