"""The command `retry`: queue again what of a job failed or was cancelled."""

import click

from cli.options import connection_options


@click.command()
@click.argument("job")
@connection_options(broker=True)
def retry(job: str) -> None:
    """Queue again what of a job failed or was cancelled, and nothing else."""
    from cli.connection import current_database
    from results.database import reading
    from results.jobs import get_job
    from workers.batch.submitting import check_broker
    from workers.queue.dispatching import retry as retry_job

    check_broker()
    database = current_database()
    with reading(database) as session:
        found = get_job(session, job)
    count = retry_job(database, found.id)
    click.echo(f"{found.id}: {f'{count:,} shards are queued again' if count else 'nothing of it has failed'}")
