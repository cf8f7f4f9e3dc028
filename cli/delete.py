"""The command `delete`: remove a job and its results."""

import sys
from typing import TYPE_CHECKING

import click

from cli.options import settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@click.argument("job")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@settings_options("database_url", "broker_url")
def delete(settings: "Settings", job: str, yes: bool) -> None:
    """Delete a job with all its results. Your files and the models that it trained stay."""
    from cli.connection import current_database
    from cli.views.removal import print_what_is_left
    from results.database import reading
    from results.jobs import get_job
    from results.read.status import job_status
    from workers.queue.app import make_app
    from workers.retention import delete as delete_job
    from workers.streams.live import forget_summaries

    database = current_database(settings)
    with reading(database) as session:
        status = job_status(session, get_job(session, job).id)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete {status.job} with {status.frames:,} frames and {status.faces:,} faces?", abort=True)
    print_what_is_left(delete_job(database, settings.models_dir, status.job, settings.permitted_crops))
    if status.kind == "stream" and status.name:
        forget_summaries(make_app(settings), status.name)
    say(f"{status.job}: deleted")
