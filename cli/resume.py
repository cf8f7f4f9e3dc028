"""The command `resume`: queue again all unfinished work whose messages are lost."""

import click

from cli.options import connection_options


@click.command()
@connection_options(broker=True)
def resume() -> None:
    """Queue all work that is not finished and was forgotten: after Redis lost its data, or a `run` was killed.

    Workers do the same every ten seconds for the queues that they serve. What is queued or being worked on stays.
    """
    from cli.connection import current_database
    from workers.batch.submitting import check_broker
    from workers.queue.dispatching import resume as resume_jobs

    check_broker()
    queued = resume_jobs(current_database())
    for job, count in queued.items():
        click.echo(f"{job}: {count:,} messages sent")
    if not queued:
        click.echo("There is nothing to resume: all that is not finished is queued or being worked on.")
