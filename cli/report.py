"""The command `report`: a job as one HTML page."""

import io
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from cli.options import Output, settings_options
from cli.output_files import written
from cli.period import period_from, period_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@click.argument("job", required=False)
@click.option("-o", "--output", type=Output(), required=True, help="The page, such as report.html.")
@period_options
@settings_options("database_url")
def report(
    settings: "Settings",
    job: str | None,
    output: Path,
    last: int | None,
    until: datetime | None,
    zone: ZoneInfo | None,
) -> None:
    """Write a report: one HTML page without other files. Of the newest job if none is named.

    Of a stream it has whole hours.
    """
    from cli.connection import asked_about
    from fer_model.networks.cards import limits_of
    from fer_model.rendering.palette import COLOURS, hex_colour
    from results.read.notes import notes
    from results.read.report.page import write_report
    from results.read.status import job_status

    period = period_from(last, until, zone)
    with asked_about(settings, job) as (session, job_id), written(output) as file:
        status = job_status(session, job_id)
        page = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
        palette = {emotion: hex_colour(emotion) for emotion in COLOURS}
        sentences = [sentence(note) for note in notes(status)]
        terms: dict[str, Any] = {"period": period, "zone": zone or UTC, "limits": limits_of(status.models)}
        write_report(session, job_id, page, palette=palette, notes=sentences, **terms)
        page.detach()
    if str(output) != "-" and output.is_file():
        say(f"{output}: {math.ceil(output.stat().st_size / 1e3):,} kB", err=True)


def sentence(note: str) -> str:
    """A note as a sentence of the report, which has no backquotes."""
    return note[:1].upper() + note[1:].replace("`", "")
