"""The state of a worker process: its database connections, its networks, its device, and whether it is to stop."""

import logging
import os
import signal
import time
from functools import cache, cached_property
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from billiard import current_process
from celery import Celery, current_app
from celery.signals import worker_process_init, worker_process_shutdown
from sqlalchemy import Engine as Database

from fer_model.engines import Engine, gpu_count, has_torch, load_engine
from fer_model.networks.manifest import ModelSet
from results.database import connect
from results.streams import QUEUE
from workers.metrics import recording
from workers.queue.app import settings_of
from workers.settings import writable_cache

if TYPE_CHECKING:
    from workers.streams.hub import Hub

logger = logging.getLogger(__name__)

STREAM_LOCKS_S = 8.0
"""A process that is frozen in the middle of an append loses its locks before its lease is over."""


class WorkerProcess:
    """The state of one process of a worker: of its main process, or of one that works on shards."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.settings = settings_of(app)
        self._stopping = Event()
        self._grace_ends = 0.0
        self._engines: dict[tuple[str, ...], Engine] = {}
        self.misses: list[str] = []
        """The files that this process has missed in a row (`workers.batch.absence`)."""

    @cached_property
    def database(self) -> Database:
        """The one connection of the whole process, for which its threads take turns."""
        locks_s = STREAM_LOCKS_S if self.serves_streams else None
        return connect(self.settings.database_url, connections=1, locks_s=locks_s)

    @property
    def device(self) -> str:
        """`cpu`, `auto` or `cuda:N`. With several GPUs each process of the pool takes one."""
        if self.settings.device == "auto" and has_torch() and (gpus := gpu_count()):
            return f"cuda:{current_process().index % gpus}"
        return self.settings.device

    def engine(self, models: ModelSet) -> Engine:
        """The networks of these models, cached until another set is needed: a promotion needs no restart.

        Ensembles that differ only in their shares use the same networks. Raises as `load_engine`.
        """
        files = tuple(file.sha256 for file in models.files)
        if files not in self._engines:
            # Before loading: a GPU may not have memory for both.
            self._engines.clear()
            self._engines[files] = load_engine(models, self.device, writable_cache(self.settings.cache_dir))
            logger.info("networks ready: %s", self._engines[files].description)
        return self._engines[files]

    @property
    def serves_streams(self) -> bool:
        """Whether the worker serves streams; it serves nothing else then."""
        return self.settings.served_queues == [QUEUE]

    @cached_property
    def hub(self) -> "Hub":
        """What serves the streams of this process; it starts with its first use."""
        from workers.streams.hub import Hub
        from workers.streams.live import Live

        live = Live(self.app)
        return Hub(
            self.database,
            self.settings,
            worker_name(),
            self.engine,
            publish=live.publish,
            stopping=self.is_stopping,
        )

    def stop(self) -> None:
        """Signals the work in this process to end: shards when the grace period is over, the rest at once."""
        self._grace_ends = time.monotonic() + self.settings.grace_seconds
        self._stopping.set()

    def is_stopping(self) -> bool:
        """Whether the worker is shutting down."""
        return self._stopping.is_set()

    def is_grace_over(self) -> bool:
        """Whether the worker is shutting down and a shard may take no more time."""
        return self._stopping.is_set() and time.monotonic() > self._grace_ends


@cache
def this_process() -> WorkerProcess:
    """The state of the calling process, whose worker was started with Celery's current application."""
    return WorkerProcess(current_app._get_current_object())


def worker_name() -> str:
    """The name of this process in the database: HOST:PID."""
    return f"{os.uname().nodename}:{os.getpid()}"


@worker_process_init.connect
def listen(**_: Any) -> None:
    """Stops a pool process on SIGUSR2, which the main process sends: a training would otherwise run for hours."""
    signal.signal(signal.SIGUSR2, lambda *_: this_process().stop())


@worker_process_init.connect
def record(**_: Any) -> None:
    """Records metrics in a pool process, if its worker serves them."""
    if this_process().settings.metrics_port:
        recording.begin(str(current_process().index))


@worker_process_init.connect
def warm(**_: Any) -> None:
    """Loads the networks in a pool process that serves streams, so that a stream that is taken over finds them."""
    if this_process().serves_streams:
        Thread(target=this_process().hub.warm, name="warm", daemon=True).start()


@worker_process_shutdown.connect
def release(**_: Any) -> None:
    """Gives streams to other workers before a pool process ends."""
    if this_process().serves_streams:
        this_process().hub.close()
