"""The commands `stream ...`: cameras and network video, which workers of the queue `stream` record."""

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from cli.options import CROPS, THRESHOLD, Duration, Number, Whole, json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from results.streams import Login
    from workers.settings import Settings

LONGEST_NAME = 63
SECRET = re.compile(r"[?&][^=&]*(pass|pwd|token|secret|key|auth)[^=&]*=", re.IGNORECASE)
"""What some cameras take in the query, which is a part of the address."""


class Name(click.ParamType[str]):
    """A stream's name: letters of the Latin alphabet, digits, `-` and `_`."""

    name = "name"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        if not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}", value):
            self.fail(f"{value!r} is not a name; it has 1 to {LONGEST_NAME} of A-Z, a-z, 0-9, - and _.")
        return str(value)


@click.group()
def stream() -> None:
    """Cameras and network video, analysed live. Workers with `--queues stream` serve them."""


@stream.command()
@click.argument("uri")
@click.option("--name", type=Name(), required=True, help="A name for the stream.")
@click.option("--fps", type=Number(0, 1000, min_open=True), help="Analyse N frames a second.  [default: all]")
@click.option(
    "--policy",
    type=click.Choice(["realtime", "everything"]),
    default="realtime",
    help="When a worker cannot keep up: skip the oldest frames, or keep all of them on disk and lag.",
)
@click.option(
    "--retention", type=Duration(), metavar="TIME", help="Delete hours that are older: 7d.  [env: FER_RETENTION_DAYS]"
)
@THRESHOLD
@click.option("--keep-member-scores", is_flag=True, help="Keep each classifier's probabilities.")
@CROPS
@settings_options("database_url", "broker_url")
def add(
    settings: "Settings",
    uri: str,
    name: str,
    retention: int | None,
    detection_threshold: float | None,
    **options: Any,
) -> None:
    """Add a stream and start it. Prints the id of its job.

    URI is rtsp://, rtsps://, http(s)://, udp://, tcp://, srt://, file:// or /dev/videoN. A login may stand in it:
    rtsp://USER:PASSWORD@HOST/PATH. The shell's history would keep that password; give the user alone, and the password
    in FER_STREAM_PASSWORD_<NAME>.
    """
    from cli.connection import prepared_database
    from fer_model.sources.live.address import parse_address
    from results.database import writing
    from results.streams import QUEUE, StreamOptions, add_stream
    from workers.queue.app import make_app
    from workers.queue.best_effort import try_advance
    from workers.queue.broker import check_broker, is_served

    address, login = parse_address(uri)
    threshold = detection_threshold or settings.detection_threshold
    chosen = StreamOptions(retention_ms=retention, detection_threshold=threshold, **options)
    app = make_app(settings)
    check_broker(app)
    database = prepared_database(settings)
    with writing(database) as session:
        job_id = add_stream(session, name, address, _login(name, login), chosen).id
    try_advance(app, database, job_id)
    say(job_id)
    if SECRET.search(address):
        say("Note: the address is shown and exported with all that stands in it; it should hold no secret.", err=True)
    if not is_served(app, QUEUE):
        hint = f"fer-batch worker --queues {QUEUE}"
        say(f"Note: no worker serves the queue '{QUEUE}' yet; start one: {hint}, or fer-batch up --streams", err=True)


@stream.command(name="list")
@json_option
@settings_options("database_url")
def list_(settings: "Settings", as_json: bool) -> None:
    """The streams, with state, speed and last event.

    Frames a second, delay, skipped frames, worker.
    """
    from cli.connection import current_database
    from cli.views.streams import print_streams
    from results.database import reading
    from results.read.streams import stream_statuses

    with reading(current_database(settings)) as session:
        streams = stream_statuses(session)
    if as_json:
        say(json.dumps([each.as_dict() for each in streams]))
    else:
        print_streams(streams)


@stream.command()
@click.argument("name")
@settings_options("database_url")
def stop(settings: "Settings", name: str) -> None:
    """Stop a stream; what it has recorded stays."""
    from cli.connection import current_database
    from results.database import writing
    from results.streams import stop_stream

    with writing(current_database(settings)) as session:
        stopped = stop_stream(session, name)
    say(f"{name}: stopped" if stopped else f"{name} was stopped already")


@stream.command()
@click.argument("name")
@settings_options("database_url", "broker_url")
def start(settings: "Settings", name: str) -> None:
    """Start a stopped stream again. It goes on after what it has recorded."""
    from cli.connection import current_database
    from results.database import writing
    from results.streams import get_stream, start_stream
    from workers.queue.app import make_app
    from workers.queue.best_effort import try_advance

    database = current_database(settings)
    with writing(database) as session:
        job_id, started = get_stream(session, name).job_id, start_stream(session, name)
    try_advance(make_app(settings), database, job_id)
    say(f"{name}: started" if started else f"{name} is on already")


@stream.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@settings_options("database_url", "broker_url")
def remove(settings: "Settings", name: str, yes: bool) -> None:
    """Stop a stream and delete all that it has recorded."""
    from cli.connection import current_database
    from cli.views.removal import print_what_is_left
    from results.database import reading
    from results.read.streams import stream_statuses
    from results.streams import get_stream
    from workers.queue.app import make_app
    from workers.retention import delete
    from workers.streams.live import forget_summaries

    database = current_database(settings)
    with reading(database) as session:
        (found,) = stream_statuses(session, get_stream(session, name).job_id)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Remove {name} with its {found.rows:,} rows?", abort=True)
    print_what_is_left(delete(database, settings.models_dir, found.job, settings.permitted_crops))
    forget_summaries(make_app(settings), name)
    say(f"{name}: removed")


@stream.command()
@click.argument("name")
@click.option("--limit", type=Whole(min=1), default=20, help="Show the N newest.")
@json_option
@settings_options("database_url")
def events(settings: "Settings", name: str, limit: int, as_json: bool) -> None:
    """What happened to a stream, newest first.

    Connections, gaps with their reasons, takeovers.
    """
    from cli.connection import current_database
    from cli.views.streams import print_events
    from results.database import reading
    from results.read.streams import event_as_dict, events_of

    with reading(current_database(settings)) as session:
        found = events_of(session, name, limit)
    if as_json:
        say(json.dumps([event_as_dict(each) for each in found]))
    else:
        print_events(found)


def _login(name: str, given: tuple[str, str | None] | None) -> "Login | None":
    """The login in the address; a user without a password gets that of the environment, if it is set here."""
    from results.streams import Login
    from workers.streams.logins import password_variable

    if given is None:
        return None
    username, password = given
    return Login(username, password or os.environ.get(password_variable(name)))
