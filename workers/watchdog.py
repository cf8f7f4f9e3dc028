"""The worker's main process: sweeps in its turn, looks for missing files, and reclaims the shards of dead children.

It forwards a shutdown to its children.
"""

import logging
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from billiard import active_children
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure, worker_ready, worker_shutting_down
from sqlalchemy import Engine as Database

from results import sweeps
from results.database import connect, reading, writing
from results.errors import ResultsError
from workers import notifying, retention
from workers.batch import absence
from workers.lease.outages import insist
from workers.lease.policy import TOO_LONG
from workers.lease.reclaiming import reclaim
from workers.metrics import recording
from workers.process import WorkerProcess, this_process
from workers.queue import dispatching
from workers.queue.best_effort import try_advance
from workers.settings import Settings
from workers.streams import sweeping

logger = logging.getLogger(__name__)

SWEEP_S = 10.0
"""How often a queue is swept for lost messages and expired leases, unless a quarter of a lease is shorter."""

ROUND_S = 2.0
"""How often a worker looks whether a sweep is due, and an absent one for its files."""


Rounds = list[tuple[Callable[[], object], float]]
"""What is done again and again, each in a thread of its own, and the pause in between in seconds."""


@worker_ready.connect
def start_rounds(sender: Any, **_: Any) -> None:
    """Starts the threads that requeue lost work, delete what has expired and look for missing files."""
    process = this_process()
    rounds = rounds_of_streams(process) if process.serves_streams else rounds_of_shards(process, sender)
    for go_round, wait_s in rounds:
        Thread(target=_go_round_forever, args=(go_round, wait_s), name="sweep", daemon=True).start()


def _go_round_forever(go_round: Callable[[], object], wait_s: float) -> None:
    while True:
        try:
            go_round()
        except Exception as error:
            # An outage of the database or Redis; the next round tries again.
            logger.warning("sweep failed: %s", error)
        time.sleep(wait_s)


def rounds_of_shards(process: WorkerProcess, consumer: Any) -> Rounds:
    """Those of a worker of any queue but that of streams."""
    pause_s = min(SWEEP_S, process.settings.lease_seconds / 4)
    is_receiving = True

    def go_round() -> None:
        nonlocal is_receiving
        is_receiving = _look_for_files(consumer, is_receiving)
        sweep_in_turn(process, pause_s)

    return [(go_round, min(ROUND_S, pause_s))]


def rounds_of_streams(process: WorkerProcess) -> Rounds:
    """A stream must not wait for a worker while hours of others are deleted."""

    def keep_house() -> None:
        # Not by the process's only connection: the sweep would wait for it.
        own = connect(process.settings.database_url, connections=1)
        try:
            _keep_house(own, process.settings, process.settings.served_queues)
        finally:
            own.dispose()

    return [
        (partial(sweeping.sweep, process.app, process.database, is_dead), sweeping.EVERY_S),
        (keep_house, SWEEP_S),
    ]


def sweep_in_turn(process: WorkerProcess, every_s: float) -> None:
    """Sweeps those queues that no worker has swept in the last `every_s` seconds."""
    queues = process.settings.served_queues
    with reading(process.database) as session:
        if not sweeps.due(session, queues, every_s):
            return
    with writing(process.database) as session:
        own = sweeps.take_turn(session, queues, every_s)
    if own:
        dispatching.sweep(process.app, process.database, own)
        _keep_house(process.database, process.settings, own)


def _keep_house(database: Database, settings: Settings, queues: list[str]) -> None:
    """Posts the ends of jobs, and deletes what has expired."""
    notifying.post_ends(database, settings, queues)
    retention.enforce(database, settings.retention_days, settings.permitted_crops)


def _look_for_files(consumer: Any, is_receiving: bool) -> bool:
    """Receives no shards while this worker is absent (`workers.batch.absence`); returns whether it receives them."""
    process = this_process()
    is_present = not absence.look_again(process.database, consumer.hostname, process.settings.served_queues)
    recording.absent(not is_present)
    if is_present != is_receiving:
        change = consumer.add_task_queue if is_present else consumer.cancel_task_queue
        for queue in process.settings.served_queues:
            # The event loop owns the consumer.
            consumer.call_soon(change, queue)
    return is_present


@worker_shutting_down.connect
def stop_children(**_: Any) -> None:
    """Forwards a shutdown to the processes of the pool; `process.listen` receives it."""
    for child in active_children():
        with suppress(OSError):
            os.kill(child.pid, signal.SIGUSR2)


@task_failure.connect
def on_death(sender: Any, args: tuple[Any, ...], exception: BaseException, **_: Any) -> None:
    """Reclaims the shard of a child that died, instead of waiting until its lease expires."""
    if isinstance(exception, (WorkerLostError, TimeLimitExceeded)) and sender.name in dispatching.TASKS.values():
        # In a thread: the main process must not block.
        Thread(target=_reclaim, args=(args[0], exception), name="reclaim", daemon=True).start()


def _reclaim(shard_id: int, exception: BaseException) -> None:
    process = this_process()
    try:
        job_id = insist(partial(reclaim, process.database, shard_id, is_dead, _reason(exception)))
    except ResultsError as error:
        # Its lease expires, and the sweep requeues it.
        logger.warning("shard %s could not be reclaimed: %s", shard_id, error)
        return
    if job_id is not None:
        try_advance(process.app, process.database, job_id)


def is_dead(worker: str) -> bool:
    """Whether this worker, HOST:PID, is a process of this host that has ended."""
    host, _, process = worker.rpartition(":")
    return host == os.uname().nodename and not Path(f"/proc/{process}").exists()


def _reason(exception: BaseException) -> str:
    if isinstance(exception, TimeLimitExceeded):
        return TOO_LONG
    killed = re.search(r"signal \d+ \(\w+\)|exitcode \d+", str(exception))
    return f"the worker process died ({killed[0] if killed else exception}): a damaged file, or too little memory"
