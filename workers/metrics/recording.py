"""Figures for Prometheus. Where FER_METRICS_PORT is 0 nothing here imports, writes or serves anything.

The processes that work write their figures into files (prometheus_client's multiprocess mode), and the worker's
main process, which serves them, adds them up. A process is known by its place in the pool and not by its number:
the one that takes a dead one's place goes on with its files, so that totals never fall and files do not pile up.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from billiard import current_process
from celery.signals import worker_process_init

from workers.errors import WorkersError
from workers.metrics.timeouts import within
from workers.settings import settings

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram
    from prometheus_client.metrics_core import GaugeMetricFamily

logger = logging.getLogger(__name__)

Outcome = Literal["done", "failed", "given_back", "lost", "cancelled", "died"]

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client learns where its files are; the pool's processes inherit it."""

ANSWER_S = 2.0
"""How long a scrape waits for Redis, and for the database; Prometheus itself gives up after ten seconds."""

SECONDS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
FRAMES = (1, 2, 4, 8, 12, 16, 24, 32)


@dataclass(frozen=True)
class _Series:
    frames: "Counter"
    faces: "Counter"
    shards: "Counter"
    seconds: "Histogram"
    batch: "Histogram"
    gpu: "Gauge"


def frame_done(faces: int) -> None:
    """A frame has its faces."""
    if series := _series():
        series.frames.inc()
        series.faces.inc(faces)


def batch_done(frames: int) -> None:
    """The detector has seen so many frames at once."""
    if series := _series():
        series.batch.observe(frames)
        gpu_memory()


def shard_ended(outcome: Outcome, seconds: float) -> None:
    """This process's work on a shard is over."""
    if series := _series():
        series.shards.labels(outcome).inc()
        series.seconds.observe(seconds)


def _begin(**_: Any) -> None:
    # Totals that are there from 0 on: of a series that begins with its first increase Prometheus misses that one.
    _series()


worker_process_init.connect(_begin)


def gpu_memory() -> None:
    """The memory of each GPU on which this process works; asks torch, and only where it has been loaded anyway."""
    torch = sys.modules.get("torch")
    series = _series()
    if series is None or torch is None or not torch.cuda.is_initialized():
        return
    for device in range(torch.cuda.device_count()):
        # Where this process holds nothing, asking for more would take memory.
        if reserved := torch.cuda.memory_reserved(device):
            free, total = torch.cuda.mem_get_info(device)
            for kind, size in (("worker", reserved), ("used", total - free), ("total", total)):
                series.gpu.labels(f"cuda:{device}", kind).set(size)


@contextmanager
def exported() -> Iterator[None]:
    """Serves the figures of this worker on its metrics port; enter it before the pool's processes are started.

    Raises:
        WorkersError: the port cannot be opened.
    """
    if not settings().metrics_port:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="fer-batch-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[FOLDER] = folder
        server = _serve(folder)
        _notice_deaths()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


def _serve(folder: str) -> Any:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)
    registry.register(_Queues())
    address, port = settings().metrics_address, settings().metrics_port
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as error:
        raise WorkersError(
            f"The figures cannot be served at {address}:{port} ({error}); give another port with --metrics-port."
        ) from error
    logger.info("figures for Prometheus at http://%s:%s/metrics", address, port)
    return server


class _Queues:
    """What is in the queues, asked at each scrape. What does not answer in time is left out."""

    def __init__(self) -> None:
        self._depths = within(ANSWER_S, _depths)
        self._ages = within(ANSWER_S, _ages)

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


def _queues() -> list[str]:
    return settings().queues.split(",")


def _depths() -> dict[str, float]:
    from workers.queue.app import app

    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=0, timeout=ANSWER_S)
        channel = connection.default_channel
        # A queue has one list for each priority; the transport knows them.
        return {queue: channel._size(queue) for queue in _queues()}


def _ages() -> dict[str, float]:
    from results.backlog import longest_waits
    from results.database import reading

    with reading(_database()) as session:
        return longest_waits(session, _queues())


@cache
def _database() -> Any:
    from results.database import existing

    return existing(settings().database_url)


def _notice_deaths() -> None:
    """A process that was killed cannot count itself; the worker's main process hears of it."""
    from billiard.exceptions import TimeLimitExceeded, WorkerLostError
    from celery.signals import task_failure

    def count(sender: Any, exception: BaseException, **_: Any) -> None:
        series = _series()
        if series and sender.name == "process_shard" and isinstance(exception, (WorkerLostError, TimeLimitExceeded)):
            series.shards.labels("died").inc()

    task_failure.connect(count, weak=False)


@cache
def _series() -> _Series | None:
    if not settings().metrics_port or FOLDER not in os.environ:
        return None
    import prometheus_client.values
    from prometheus_client import Counter, Gauge, Histogram
    from prometheus_client.multiprocess import mark_process_dead

    place = _place()
    # The predecessor's GPU memory is free; its totals stay.
    mark_process_dead(place)
    prometheus_client.values.ValueClass = prometheus_client.values.MultiProcessValue(lambda: place)
    series = _Series(
        frames=Counter("fer_frames", "Frames whose faces were found."),
        faces=Counter("fer_faces", "Faces found in them."),
        shards=Counter("fer_shards", "Shards that a worker has ended its work on, by outcome.", ["outcome"]),
        seconds=Histogram("fer_shard_seconds", "Time spent on a shard, whatever its outcome.", buckets=SECONDS),
        batch=Histogram("fer_batch_frames", "Frames of a batch, those that the detector saw.", buckets=FRAMES),
        gpu=Gauge("fer_gpu_memory_bytes", "GPU memory.", ["device", "kind"], multiprocess_mode="livemax"),
    )
    for outcome in get_args(Outcome):
        series.shards.labels(outcome)
    return series


def _place() -> str:
    """The process's place in the pool, which no two have at once; `main` for the process above it."""
    return str(getattr(current_process(), "index", "main"))
