"""The command `retry`: queue the failed or cancelled parts of a job again."""

from typing import TYPE_CHECKING

import click

from cli.options import settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@click.argument("job")
@settings_options("database_url", "broker_url")
def retry(settings: "Settings", job: str) -> None:
    """Queue the failed or cancelled parts of a job again."""
    from cli.connection import current_database
    from results.database import reading
    from results.jobs import get_job
    from workers.queue.app import make_app
    from workers.queue.best_effort import try_advance
    from workers.queue.broker import check_broker
    from workers.queue.dispatching import reopen

    app = make_app(settings)
    check_broker(app)
    database = current_database(settings)
    with reading(database) as session:
        found = get_job(session, job)
    count = reopen(app, database, found.id)
    try_advance(app, database, found.id)
    # As in `results.jobs.retry_job`: all its shards are done, and its end failed or was cancelled.
    unclosed = found.state == "cancelled" or (found.state == "failed" and found.closing_attempts > 0)
    otherwise = "its end is tried again" if unclosed else "nothing of it has failed"
    say(f"{found.id}: {f'{count:,} shards are queued again' if count else otherwise}")
