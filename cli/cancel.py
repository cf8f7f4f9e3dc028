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
    from results.jobs import cancel_job, get_job
    from results.streams import stop_stream

    with writing(current_database(settings)) as session:
        found = get_job(session, job)
        is_stream = found.kind == "stream"
        stopped = stop_stream(session, str(found.name)) if is_stream else cancel_job(session, found.id)
    say(f"{found.id}: {'cancelled' if stopped else f'had ended already ({found.state})'}")
