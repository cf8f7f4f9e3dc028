"""The command `up`: the whole system, left running in the foreground."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import Whole, settings_options

if TYPE_CHECKING:
    from workers.settings import Settings

PORT = Whole(1, 65535)


@click.command()
@click.option("--workers", type=Whole(0), default=1, help="Run N workers.")
@click.option("--streams", is_flag=True, help="Run one more worker, which serves live streams.")
@click.option("--web", is_flag=True, help="Serve the web page too.")
@click.option("--flower", is_flag=True, help="Run Flower too, which shows the queue in a browser.")
@click.option("--port", metavar="PORT", type=PORT, default=6379, help="Port of the Redis server, on this machine only.")
@click.option("--flower-port", metavar="PORT", type=PORT, default=5555, help="Port of Flower, on this machine only.")
@click.option("--web-port", metavar="PORT", type=PORT, default=8501, help="Port of the web page, on this machine only.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default="~/.local/share/fer-batch/redis",
    help="Folder of the queue's data.",
)
@settings_options("log_json", "quiet", "database_url")
def up(
    settings: "Settings",
    workers: int,
    streams: bool,
    web: bool,
    flower: bool,
    port: int,
    web_port: int,
    flower_port: int,
    data: Path,
) -> None:
    """Run Redis, workers, the web page and Flower in one terminal.

    Until Ctrl-C, with one log; the web page and Flower if asked for.
    Other terminals of this machine submit jobs to them. What is queued survives a restart.
    """
    from cli.connection import prepared_database
    from cli.flower import login
    from cli.views.logs import log_as_json, log_to_stdout
    from workers.queue import standing_stack as stack
    from workers.queue.supervision import running, watch
    from workers.settings import expanded

    prepared_database(settings).dispose()
    settings = settings.model_copy(update={"broker_url": stack.broker_url(port)})
    stack.check_port(port, "--port")
    groups = [stack.worker_programs(settings, workers, streams)]
    hints = [hint(settings, "submit", "submit videos/")]
    if streams:
        hints.append(hint(settings, "add a stream", "stream add rtsp://USER@CAMERA/PATH --name lobby"))
    if flower:
        stack.check_port(flower_port, "--flower-port")
        secret, words = login(settings)
        groups.insert(0, [stack.flower_program(settings, flower_port, secret)])
        hints.append(f"Flower: http://127.0.0.1:{flower_port}, {words}")
    if web:
        stack.check_port(web_port, "--web-port")
        groups.insert(0, [stack.web_program(settings, web_port)])
        hints.append(f"Web page: http://127.0.0.1:{web_port}")
    # As Ctrl-C: an exception, so that everything that was started is stopped on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt), stack.locked_folder(expanded(data, "--data").absolute()) as (folder, lock):
        groups.insert(0, [stack.redis_program(folder, port, lock)])
        names = ["up", *(program.name for group in groups for program in group)]
        log = log_as_json(settings.quiet) if settings.log_json else log_to_stdout(names, settings.quiet)
        with running(groups, log) as programs:
            for line in hints:
                log("up", line)
            watch(programs)


def hint(settings: "Settings", doing: str, command: str) -> str:
    """How another terminal does it: with the options that it needs to find this queue and this database."""
    from results.urls import describe, parse_url

    default = {name: field.default for name, field in type(settings).model_fields.items()}
    words, place = [f"fer-batch {command}"], ""
    if settings.broker_url != default["broker_url"]:
        words.append(f"--broker {settings.broker_url}")
    if settings.database_url != default["database_url"]:
        words.append(f"--db {describe(settings.database_url)}")
    path = parse_url(settings.database_url).database
    if settings.database_url.startswith("sqlite") and path and not Path(path).is_absolute():
        place = f", in the folder {Path.cwd()}"
    return f"To {doing} from another terminal{place}: {' '.join(words)}"
