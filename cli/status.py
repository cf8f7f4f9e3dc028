"""The command `status`: a job's progress."""

import json
from typing import TYPE_CHECKING, Any

import click

from cli.options import json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from sqlalchemy import Engine as Database

    from results.read.streams import StreamStatus
    from workers.settings import Settings


@click.command()
@click.argument("job", required=False)
@click.option("--watch", is_flag=True, help="Show progress until the job has ended.")
@click.option("--verbose", is_flag=True, help="Show each attempt at a piece that ended without results, and why.")
@json_option
@settings_options("database_url")
def status(settings: "Settings", job: str | None, watch: bool, verbose: bool, as_json: bool) -> None:
    """The progress of a job, or of the newest one. The beginning or end of an id, or a stream's name, is enough."""
    from cli.connection import current_database, job_or_newest
    from cli.views.following import follow, print_attempts, print_summary
    from cli.views.stream_status import print_stream
    from cli.views.training import follow_training, look_up, print_training
    from results.database import reading
    from results.read.status import job_status

    database = current_database(settings)
    with reading(database) as session:
        job_id = job_or_newest(session, job).id
        state = job_status(session, job_id)
    training = state.kind == "train"
    if watch and state.kind == "stream":
        raise click.UsageError(f"A stream has no end to wait for; `fer-batch tail {state.name}` follows it.")
    if watch:
        watcher = follow_training if training else follow
        watcher(database, job_id)
        with reading(database) as session:
            state = job_status(session, job_id)
    attempts = _attempts(database, job_id) if verbose else []
    stream = _stream(database, job_id) if state.kind == "stream" else None
    if as_json:
        parts = ({"attempts": attempts} if verbose else {}) | ({"stream": stream.as_dict()} if stream else {})
        say(json.dumps(state.as_dict() | parts))
    elif training:
        print_training(look_up(database, job_id))
    elif stream:
        print_stream(stream, state)
    else:
        print_summary(state)
    if not as_json:
        print_attempts(attempts)


def _stream(database: "Database", job_id: str) -> "StreamStatus":
    from results.database import reading
    from results.read.streams import stream_statuses

    with reading(database) as session:
        return stream_statuses(session, job_id)[0]


def _attempts(database: "Database", job_id: str) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from results.attempts import attempts_of
    from results.database import reading

    with reading(database) as session:
        return [asdict(each) | {"ended_at": each.ended_at.isoformat()} for each in attempts_of(session, job_id)]
