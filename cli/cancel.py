"""The command `cancel`: stop a job."""

from typing import TYPE_CHECKING

import click

from cli.options import settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@click.argument("job")
@settings_options("database_url")
def cancel(settings: "Settings", job: str) -> None:
    """Stop a job. What it has written stays; workers stop within a second."""
    from cli.connection import current_database
    from results.database import writing
    from results.jobs import get_job
    from results.streams import end_job

    with writing(current_database(settings)) as session:
        found = get_job(session, job)
        stopped = end_job(session, found)
    say(f"{found.id}: {'cancelled' if stopped else f'had ended already ({found.state})'}")
