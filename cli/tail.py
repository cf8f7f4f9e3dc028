"""The command `tail`: a stream's live lines."""

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import click

from cli.options import json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from sqlalchemy import Engine as Database

    from workers.settings import Settings
    from workers.streams.tailing import Heard

QUIET_S = 5.0
"""Seconds without a summary after which a note gives the stream's state."""


@click.command()
@click.argument("name")
@json_option
@settings_options("database_url", "broker_url")
def tail(settings: "Settings", name: str, as_json: bool) -> None:
    """Follow a stream live, one line a second, until Ctrl-C."""
    from cli.connection import current_database
    from cli.standard_streams import binary_stdout
    from results.database import reading
    from results.streams import get_stream
    from workers.queue.app import make_app
    from workers.streams.tailing import listen

    database = current_database(settings)
    with reading(database) as session:
        job_id = get_stream(session, name).job_id
    heard = listen(make_app(settings), name)
    # Strictly: a reader that is gone ends it.
    with suppress(KeyboardInterrupt), binary_stdout() as stdout:
        _print(heard, stdout, as_json, lambda: _state(database, name, job_id))


def _print(heard: "Iterable[Heard]", stdout: BinaryIO, as_json: bool, state: Callable[[], str]) -> None:
    """Summaries on `stdout`; on stderr why there are none, once, and again when the reason changes."""
    from cli.views.streams import live_line
    from results.printable import shown

    last, noted = time.monotonic(), ""
    for each in heard:
        if each.summary is not None:
            last, noted = time.monotonic(), ""
            line = json.dumps(each.summary) if as_json else shown(live_line(each.summary))
            stdout.write(line.encode() + b"\n")
            stdout.flush()
            continue
        if each.outage:
            # What the client says of an outage changes from one attempt to the next.
            reason, kind = f"Redis does not answer ({each.outage}); recording goes on without it.", "outage"
        else:
            reason = kind = state() if time.monotonic() - last > QUIET_S else ""
        if reason and kind != noted:
            noted = kind
            say(f"Note: {reason}", err=True)


def _state(database: "Database", name: str, job_id: str) -> str:
    """Why there is nothing to see of a stream, in a sentence."""
    from results.database import reading
    from results.errors import ResultsError
    from results.read.streams import stream_statuses
    from results.stream_tables import WEBCAM

    try:
        with reading(database) as session:
            found = stream_statuses(session, job_id)
    except ResultsError as error:
        return f"nothing new from {name}, and the database does not answer: {error}"
    if not found:
        return f"{name} was removed."
    if found[0].uri == WEBCAM:
        return f"{name} is a recording of a webcam, of which only the database learns; it is {found[0].state}."
    if found[0].state == "stopped":
        return f"{name} is stopped; fer-batch stream start {name} starts it."
    if found[0].state == "waiting":
        return f"no worker has {name} at present; fer-batch worker --queues stream starts one, if all others are full."
    return f"nothing new from {name}, which is {found[0].state}."
