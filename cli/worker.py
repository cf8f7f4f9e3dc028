"""The command `worker`: process what is queued."""

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from cli.options import settings_options

if TYPE_CHECKING:
    from celery import Celery
    from sqlalchemy import Engine as Database

    from workers.settings import Settings


@click.command()
@click.option("--name", help="The worker's name.  [default: its host and process]")
@settings_options("queues", "device", "metrics_port", "log_json", "quiet", "database_url", "broker_url")
def worker(settings: "Settings", name: str | None) -> None:
    """Process what is queued, until stopped. With several GPUs, one process works on each.

    `--queues stream` serves live streams; such a worker serves no other queue.
    """
    from cli.connection import prepared_database
    from fer_model.engines import actual_device, gpu_count, has_torch
    from workers.metrics.serving import exported
    from workers.queue.app import make_app
    from workers.queue.broker import check_broker
    from workers.settings import writable_cache

    app = make_app(settings)
    _check_queues(settings)

    # A worker that cannot process shards must not claim any.
    actual_device(settings.device)
    writable_cache(settings.cache_dir)
    check_broker(app)
    _check_weights(prepared_database(settings), settings.models_dir)
    processes = max(1, gpu_count()) if settings.device == "auto" and has_torch() else 1
    words = [
        "--pool=prefork",
        f"--concurrency={processes}",
        f"--queues={','.join(settings.served_queues)}",
        f"--hostname={name or f'fer-{os.getpid()}'}@%h",
        f"--loglevel={'WARNING' if settings.quiet else 'INFO'}",
        "--without-gossip",
        "--without-mingle",
    ]
    with exported(app):
        # Celery's banner is no JSON, and nothing to warn of.
        _work(app, words, quiet=settings.log_json or settings.quiet)


def _work(app: "Celery", words: list[str], quiet: bool) -> NoReturn:
    """Runs Celery's worker until it is stopped, and exits with 1 if it ended without a stop signal.

    Raises `WorkersError` if its processes died before they could work.
    """
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker as command
    from celery.exceptions import SecurityWarning
    from celery.worker import state

    from workers.errors import WorkersError

    # About pickles of a worker of root, with a remedy that is no option of ours. Messages are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # As `app.worker_main`, which drops the exit code and imports Flower and Celery's other commands, for half a second.
    context = CLIContext(app=app, no_color=bool(os.environ.get("NO_COLOR")), workdir=None, quiet=quiet)
    code = command.main(args=words, prog_name="worker", obj=context, standalone_mode=False)
    # The worker has redirected them to its log.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    if reason := app.loader.deaths_at_birth:
        raise WorkersError(reason)
    is_stopped = state.should_stop is not None or state.should_terminate is not None
    sys.exit(code or (0 if is_stopped else 1))


def _check_queues(settings: "Settings") -> None:
    """Raises `WorkersError` if the worker is to serve streams and more: a shard would keep its streams waiting."""
    from results.streams import QUEUE
    from workers.errors import WorkersError

    others = [queue for queue in settings.served_queues if queue != QUEUE]
    if others and QUEUE in settings.served_queues:
        raise WorkersError(
            f"A worker that serves the queue '{QUEUE}' serves no other; start two: `fer-batch worker --queues "
            f"{QUEUE}` and `fer-batch worker --queues {','.join(others)}`."
        )


def _check_weights(database: "Database", models_dir: Path) -> None:
    from results.database import reading
    from workers.models.store import in_use

    with reading(database) as session:
        _, models = in_use(session, models_dir)
    models.verify()
    database.dispose()
