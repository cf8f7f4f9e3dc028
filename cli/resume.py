"""The command `resume`: queue again all unfinished work whose messages are lost."""

from typing import TYPE_CHECKING

import click

from cli.options import settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@settings_options("database_url", "broker_url")
def resume(settings: "Settings") -> None:
    """Queue all unfinished work that has no message.

    After Redis lost its data, or a `run` was killed.

    Workers do the same every ten seconds for the queues that they serve. What is queued or being worked on stays.
    """
    from cli.connection import current_database
    from workers.errors import BrokerUnreachableError
    from workers.queue.app import make_app
    from workers.queue.broker import BROKER_ERRORS, check_broker
    from workers.queue.dispatching import resume as resume_jobs

    app = make_app(settings)
    check_broker(app)
    try:
        queued = resume_jobs(app, current_database(settings))
    except BROKER_ERRORS as error:
        reason = str(error).rstrip(".")
        raise BrokerUnreachableError(
            f"The broker went away ({reason}); workers queue the rest once it is back."
        ) from error
    for job, count in queued.items():
        say(f"{job}: {count:,} messages sent")
    if not queued:
        say("There is nothing to resume: all that is not finished is queued or being worked on.")
