"""Commands about jobs: submit, status, jobs, cancel."""

import json
import sys
from typing import Any

import click

from cli.options import batch_options, batch_options_from, connection_options, json_option


@click.command()
@batch_options
@click.option("--token", help="The same token twice is one job: safe to repeat.")
@click.option("--wait", is_flag=True, help="Show progress, and return when the job has ended.")
@json_option
@connection_options(broker=True)
def submit(
    paths: tuple[str, ...], name: str | None, token: str | None, wait: bool, as_json: bool, **options: Any
) -> None:
    """Queue photographs and videos: files, folders, globs. Prints the job's id."""
    from cli.database import prepared_database
    from cli.following import follow, planning, print_errors
    from workers.submitting import check_broker
    from workers.submitting import submit as submit_job

    chosen = batch_options_from(**options)
    check_broker()
    database = prepared_database()
    with planning() as on_medium:
        job = submit_job(database, paths, chosen, name=name, token=token, on_medium=on_medium)
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
    from cli.database import current_database, job_or_newest
    from cli.following import follow, print_summary
    from cli.training_view import follow_training, look_up, print_training
    from results.database import reading
    from results.jobs import job_status

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
    from cli.database import current_database
    from results.database import reading
    from results.jobs import job_status, list_jobs

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
    from cli.database import current_database
    from results.database import writing
    from results.jobs import cancel_job, get_job

    with writing(current_database()) as session:
        found = get_job(session, job)
        stopped = cancel_job(session, found.id)
    click.echo(f"{found.id}: {'cancelled' if stopped else f'had ended already ({found.state})'}")
