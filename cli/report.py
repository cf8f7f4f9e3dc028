"""The command `report`: a job as one HTML page."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import settings_options
from cli.output_files import written

if TYPE_CHECKING:
    from results.read.status import JobStatus
    from workers.settings import Settings


@click.command()
@click.argument("job", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The page, such as report.html.")
@settings_options("database_url")
def report(settings: "Settings", job: str | None, output: Path) -> None:
    """Write a report: one HTML page that needs nothing beside it. Of the newest job, if none is named."""
    from cli.connection import asked_about
    from fer_model.rendering.palette import COLOURS, hex_colour
    from results.read.notes import notes
    from results.read.report.page import write_report
    from results.read.status import job_status

    with asked_about(settings, job) as (session, job_id), written(output) as file:
        status = job_status(session, job_id)
        page = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
        palette = {emotion: hex_colour(emotion) for emotion in COLOURS}
        said = [sentence(note) for note in notes(status)]
        write_report(session, job_id, page, palette=palette, notes=said, limits=limits_of(status))
        page.detach()
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB", err=True)


def sentence(note: str) -> str:
    """A note of the command line as a sentence on a page."""
    return note[:1].upper() + note[1:].replace("`", "")


def limits_of(status: "JobStatus") -> dict[str, str]:
    """What the cards of the models that came with the program say about their limits, by the model's name."""
    from fer_model.networks.manifest import SHIPPED

    found = {}
    for model in status.models:
        card = SHIPPED / f"{model['model']}.md"
        # A model of somebody else's may have the same name.
        text = card.read_text() if card.exists() else ""
        if model["sha256"] in text and (limits := re.search(r"\*\*Limits\.\*\* (.+?)(?:\n\n|\Z)", text, re.DOTALL)):
            found[model["model"]] = limits[1].replace("\n", " ").replace("`", "")
    return found
