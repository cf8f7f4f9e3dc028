"""The command `worker`: process what is queued."""

import os
from typing import TYPE_CHECKING

import click

from cli.options import connection_options

if TYPE_CHECKING:
    from sqlalchemy import Engine as Database


@click.command()
@click.option("--queues", metavar="NAMES", help="Queues to serve, by commas.  [env: FER_QUEUES; default: batch]")
@click.option("--device", metavar="DEVICE", help="auto, cpu or cuda:0.  [env: FER_DEVICE; default: auto]")
@click.option("--name", help="The worker's name, to tell it from others.  [default: its host and process]")
@click.option(
    "--metrics-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Serve figures for Prometheus there; 0 is nowhere.  [env: FER_METRICS_PORT; default: 0]",
)
@connection_options(broker=True)
def worker(queues: str | None, device: str | None, name: str | None, metrics_port: int | None) -> None:
    """Work on what is queued, until stopped. With several GPUs, one process works on each."""
    given = {"FER_QUEUES": queues, "FER_DEVICE": device, "FER_METRICS_PORT": metrics_port}
    os.environ |= {variable: str(value) for variable, value in given.items() if value not in (None, "")}
    from cli.connection import prepared_database
    from fer_model.engines import actual_device, gpu_count
    from workers.batch.submitting import check_broker
    from workers.metrics import recording
    from workers.queue.app import app
    from workers.settings import settings, writable_cache

    # A worker that cannot work must not begin to take work.
    actual_device(settings().device)
    writable_cache()
    check_broker()
    _check_weights(prepared_database())
    processes = max(1, gpu_count()) if settings().device == "auto" else 1
    words = [
        "worker",
        "--pool=prefork",
        f"--concurrency={processes}",
        f"--queues={settings().queues}",
        f"--hostname={name or f'fer-{os.getpid()}'}@%h",
        "--loglevel=INFO",
        "--without-gossip",
        "--without-mingle",
    ]
    with recording.exported():
        app.worker_main(words)


def _check_weights(database: "Database") -> None:
    from results.database import reading
    from workers.models.store import in_use

    with reading(database) as session:
        _, models = in_use(session)
    for file in models.files:
        file.verify()
    database.dispose()
