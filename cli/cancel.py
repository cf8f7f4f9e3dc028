"""The command `cancel`: stop a job."""

import click

from cli.options import connection_options


@click.command()
@click.argument("job")
@connection_options(broker=False)
def cancel(job: str) -> None:
    """Stop a job. What it has written stays; workers stop within a second."""
    from cli.connection import current_database
    from results.database import writing
    from results.jobs import cancel_job, get_job

    with writing(current_database()) as session:
        found = get_job(session, job)
        stopped = cancel_job(session, found.id)
    click.echo(f"{found.id}: {'cancelled' if stopped else f'had ended already ({found.state})'}")
