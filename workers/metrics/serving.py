"""Serves a worker's metrics to Prometheus from its main process: sums over its pool, and the state of its queues."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from celery import Celery
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from results.backlog import longest_waits
from results.database import existing, reading
from results.read.streams import stream_statuses
from results.streams import QUEUE
from workers.errors import WorkersError
from workers.metrics import recording
from workers.metrics.streams import StreamFigures
from workers.metrics.timeouts import within
from workers.queue.app import settings_of
from workers.settings import Settings

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily

logger = logging.getLogger(__name__)

T = TypeVar("T")

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder of prometheus_client's files; the pool's processes inherit it."""

ANSWER_S = 2.0
"""How long a scrape waits for Redis, and for the database; Prometheus itself gives up after ten seconds."""


@contextmanager
def exported(app: Celery) -> Iterator[None]:
    """Serves the metrics of this worker on its metrics port, if it has one; enter it before the pool is started.

    Raises:
        WorkersError: the port cannot be opened.
    """
    if not settings_of(app).metrics_port:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="fer-batch-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[FOLDER] = folder
        server = _serve(app, folder)
        recording.begin("main")
        _count_deaths()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


def _serve(app: Celery, folder: str) -> Any:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)
    registry.register(QueueFigures(app))
    if QUEUE in settings_of(app).served_queues:
        registry.register(StreamFigures(_asking(settings_of(app), stream_statuses)))
    address, port = settings_of(app).metrics_address, settings_of(app).metrics_port
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as error:
        raise WorkersError(
            f"The figures cannot be served at {address}:{port} ({error}); give another port with --metrics-port."
        ) from error
    logger.info("figures for Prometheus at http://%s:%s/metrics", address, port)
    return server


class QueueFigures:
    """The state of the queues, read at each scrape. A series whose server does not answer in time is omitted."""

    def __init__(self, app: Celery) -> None:
        self._depths = within(ANSWER_S, lambda: depths(app))
        settings = settings_of(app)
        self._ages = _asking(settings, lambda session: longest_waits(session, settings.served_queues))

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        yield _family("fer_queue_depth", "Messages waiting in the queue, of all priorities.", self._depths())
        yield _family(
            "fer_queue_age_seconds", "How long the oldest queued shard has waited for a worker.", self._ages()
        )


def _family(name: str, text: str, values: Mapping[str, float] | None) -> "GaugeMetricFamily":
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=["queue"])
    for queue, value in (values or {}).items():
        family.add_metric([queue], value)
    return family


def depths(app: Celery) -> dict[str, float]:
    """The number of messages in each queue that the worker serves. Raises `BROKER_ERRORS`."""
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=0, timeout=ANSWER_S)
        channel = connection.default_channel
        # A queue has one list for each priority; the transport knows them.
        return {queue: channel._size(queue) for queue in settings_of(app).served_queues}


def _asking(settings: Settings, question: Callable[[Session], T]) -> Callable[[], T | None]:
    """A function that asks the database; it returns None if there is no answer in time."""

    @cache
    def database() -> Database:
        return existing(settings.database_url)

    def ask() -> T:
        with reading(database()) as session:
            return question(session)

    return within(ANSWER_S, ask)


def _count_deaths() -> None:
    """Has the main process count killed processes, which cannot count themselves."""
    from billiard.exceptions import TimeLimitExceeded, WorkerLostError
    from celery.signals import task_failure

    def count(sender: Any, exception: BaseException, **_: Any) -> None:
        if sender.name == "process_shard" and isinstance(exception, (WorkerLostError, TimeLimitExceeded)):
            recording.shard_died()

    task_failure.connect(count, weak=False)
