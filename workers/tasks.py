"""The tasks: each loads an id, calls a function and passes the word on."""

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from billiard import active_children, current_process
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure, worker_process_init, worker_ready, worker_shutting_down
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.engines import Engine, gpu_count, load_engine
from fer_model.networks.manifest import ModelSet
from results.database import connect, reading
from results.errors import ResultsError
from results.jobs import job_of_shard
from workers import retention
from workers.batch import processing
from workers.batch.finishing import finish
from workers.batch.submitting import BROKER_ERRORS
from workers.lease.outages import attempts
from workers.queue import dispatching
from workers.queue.app import TRAINING_LIMIT_S, app
from workers.settings import settings, writable_cache
from workers.training import run

logger = logging.getLogger(__name__)

SWEEP_S = 10.0


@app.task(name="process_shard")
def process_shard(shard_id: int) -> None:
    """Works on one shard, then queues what comes next in its job."""
    name, database = run.worker_name(), _database()
    job_id = processing.process_shard(database, shard_id, name, _engine, queue=_queue_next, stopping=_grace_is_over)
    if job_id is None:
        with reading(database) as session:
            job_id = job_of_shard(session, shard_id)
    if job_id is not None:
        _advance(job_id)


def _queue_next(session: Session, job_id: str) -> Callable[[], None]:
    send = dispatching.queue_next(session, job_id)
    return lambda: _patiently(job_id, send)


def _advance(job_id: str) -> None:
    _patiently(job_id, lambda: dispatching.advance(_database(), job_id))


def _patiently(job_id: str, send: Callable[[], object]) -> None:
    try:
        send()
    except (*BROKER_ERRORS, ResultsError) as error:
        # What is written is written; the sweep queues the rest when the broker, or the database, is back.
        logger.warning("job %s: nothing could be queued (%s)", job_id, error)


@app.task(name="train", soft_time_limit=TRAINING_LIMIT_S, time_limit=TRAINING_LIMIT_S + 60)
def train(shard_id: int) -> None:
    """Works on one training run until it ends, or until this worker is asked to stop."""
    run.train(_database(), shard_id, run.worker_name(), _device(), _stopping.is_set)
    with reading(_database()) as session:
        job_id = job_of_shard(session, shard_id)
    if job_id is not None:
        # Here and not by a message, which would wait behind the trainings that are queued.
        finish(_database(), job_id)


@app.task(name="finish_job")
def finish_job(job_id: str) -> None:
    """Joins what the shards found and closes the job. Doing it twice changes nothing."""
    finish(_database(), job_id)


@worker_process_init.connect
def listen(**_: Any) -> None:
    """The work in this process learns so that its worker is to stop: a training would take hours to end by itself."""

    def stop(*_: Any) -> None:
        global _grace_ends
        _grace_ends = time.monotonic() + settings().grace_seconds
        _stopping.set()

    signal.signal(signal.SIGUSR2, stop)


@worker_shutting_down.connect
def pass_on(**_: Any) -> None:
    """The worker's main process, asked to stop, tells its children."""
    for child in active_children():
        with suppress(OSError):
            os.kill(child.pid, signal.SIGUSR2)


@worker_ready.connect
def start_sweep(**_: Any) -> None:
    """The worker's main process looks every ten seconds for work that got lost."""

    def repeat() -> None:
        while True:
            try:
                dispatching.sweep(_database(), settings().queues.split(","))
                retention.enforce(_database())
            except Exception as error:
                # The database or Redis may be away for a while; the next round tries again.
                logger.warning("sweep failed: %s", error)
            time.sleep(min(SWEEP_S, settings().lease_seconds / 4))

    threading.Thread(target=repeat, name="sweep", daemon=True).start()


@task_failure.connect
def take_back(sender: Any, args: tuple[Any, ...], exception: BaseException, **_: Any) -> None:
    """The worker's main process, whose child died at a shard, gives the shard back at once."""
    if isinstance(exception, (WorkerLostError, TimeLimitExceeded)) and sender.name in dispatching.TASKS.values():
        # In a thread: the main process must go on answering.
        threading.Thread(target=_take_back, args=(args[0], exception), name="take back", daemon=True).start()


def _take_back(shard_id: int, exception: BaseException) -> None:
    try:
        for attempt in attempts():
            with attempt:
                job_id = processing.take_back(_database(), shard_id, _is_dead, _reason(exception))
        if job_id is not None:
            _advance(job_id)
    except ResultsError as error:
        # Its lease ends some time.
        logger.warning("shard %s could not be given back: %s", shard_id, error)


def _is_dead(worker: str) -> bool:
    """Whether this worker was a process of this host that has ended."""
    host, _, process = worker.rpartition(":")
    return host == os.uname().nodename and not Path(f"/proc/{process}").exists()


def _reason(exception: BaseException) -> str:
    if isinstance(exception, TimeLimitExceeded):
        return processing.TOO_LONG
    killed = re.search(r"signal \d+ \(\w+\)|exitcode \d+", str(exception))
    return f"the worker process died ({killed[0] if killed else exception}): a damaged file, or too little memory"


_stopping = threading.Event()
_grace_ends = 0.0


def _grace_is_over() -> bool:
    return _stopping.is_set() and time.monotonic() > _grace_ends


@cache
def _database() -> Database:
    return connect(settings().database_url)


_loaded: dict[tuple[str, ...], Engine] = {}


def _engine(models: ModelSet) -> Engine:
    """The networks of these models, kept until others are asked for: promoting others needs no restart.

    Two ensembles of the same files in other shares have the same networks. Raises as `load_engine`.
    """
    files = tuple(file.sha256 for file in models.files)
    if files not in _loaded:
        # Before the new ones are loaded: a GPU may not have room for both.
        _loaded.clear()
        _loaded[files] = load_engine(models, _device(), writable_cache())
        logger.info("networks ready: %s", _loaded[files].description)
    return _loaded[files]


def _device() -> str:
    """With several GPUs each process of the pool takes one."""
    if settings().device == "auto" and (gpus := gpu_count()):
        return f"cuda:{current_process().index % gpus}"
    return settings().device
