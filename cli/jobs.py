"""Commands about jobs: submit, status, jobs, cancel, retry, resume, delete."""

import json
import sys
from typing import Any

import click

from cli.options import batch_options, batch_options_from, connection_options, json_option


@click.command()
@batch_options
@click.option("--priority", type=click.IntRange(0, 9), default=5, help="Jobs with a higher one go first.")
@click.option("--token", help="The same token twice is one job: safe to repeat.")
@click.option("--wait", is_flag=True, help="Show progress, and return when the job has ended.")
@json_option
@connection_options(broker=True)
def submit(
    paths: tuple[str, ...],
    name: str | None,
    priority: int,
    token: str | None,
    wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Queue photographs and videos: files, folders, globs. Prints the job's id."""
    from cli.connection import prepared_database
    from cli.views.following import follow, planning, print_errors
    from workers.batch.submitting import check_broker
    from workers.batch.submitting import submit as submit_job

    chosen = batch_options_from(**options)
    check_broker()
    database = prepared_database()
    with planning() as on_medium:
        job = submit_job(database, paths, chosen, name=name, priority=priority, token=token, on_medium=on_medium)
    click.echo(json.dumps({"job": job.job, "media": job.media, "shards": job.shards}) if as_json else job.job)
    if wait:
        status = follow(database, job.job)
        print_errors(status)
        sys.exit(status.state != "done")


@click.command()
@click.argument("job", required=False)
@click.option("--watch", is_flag=True, help="Show progress until the job has ended.")
@json_option
@connection_options(broker=False)
def status(job: str | None, watch: bool, as_json: bool) -> None:
    """How far a job is; the newest one, if none is named. The beginning or end of an id is enough."""
    from cli.connection import current_database, job_or_newest
    from cli.views.following import follow, print_summary
    from cli.views.training import follow_training, look_up, print_training
    from results.database import reading
    from results.read.status import job_status

    database = current_database()
    with reading(database) as session:
        job_id = job_or_newest(session, job).id
        state = job_status(session, job_id)
    training = state.kind == "train"
    if watch:
        watcher = follow_training if training else follow
        watcher(database, job_id)
        with reading(database) as session:
            state = job_status(session, job_id)
    if as_json:
        click.echo(json.dumps(state.as_dict()))
    elif training:
        print_training(look_up(database, job_id))
    else:
        print_summary(state)


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, help="Show so many, the newest first.")
@json_option
@connection_options(broker=False)
def jobs(limit: int, as_json: bool) -> None:
    """The jobs in the database, newest first."""
    from cli.connection import current_database
    from results.database import reading
    from results.jobs import list_jobs
    from results.read.status import job_status

    with reading(current_database()) as session:
        rows = [job_status(session, job.id) for job in list_jobs(session, limit=limit)]
    if as_json:
        click.echo(json.dumps([{**row.as_dict(), "name": row.name, "kind": row.kind} for row in rows]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    # 80 columns must do: only the name gives way.
    for title in ("job", "kind", "name", "state"):
        table.add_column(title, no_wrap=title != "name", min_width=23 if title == "job" else None)
    for title in ("files", "frames", "faces", "failed files"):
        table.add_column(title, justify="right")
    for row in rows:
        # A training has no files; `train list` shows what it has.
        counts = () if row.kind == "train" else (row.media, row.frames, row.faces, len(row.errors))
        table.add_row(row.job, row.kind, row.name or "", row.state, *(f"{count:,}" for count in counts))
    Console().print(table)


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


@click.command()
@click.argument("job")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connection_options(broker=False)
def delete(job: str, yes: bool) -> None:
    """Delete a job with everything it found. Your files stay, and so do models that it trained."""
    from cli.connection import current_database
    from cli.views.removal import say_removed
    from results.database import reading
    from results.jobs import get_job
    from results.read.status import job_status
    from results.retention import compact
    from workers.retention import remove
    from workers.training.checkpoints import forget

    database = current_database()
    with reading(database) as session:
        status = job_status(session, get_job(session, job).id)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete {status.job} with {status.frames:,} frames and {status.faces:,} faces?", abort=True)
    removed = remove(database, status.job)
    compacted = compact(database)
    if status.kind == "train":
        forget(status.job)
    say_removed([removed], compacted)
    click.echo(f"{status.job}: deleted")
