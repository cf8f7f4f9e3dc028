"""The worker's main process: sweeps for lost work, reclaims the shards of dead children, and forwards a shutdown."""

import logging
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from billiard import active_children
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure, worker_ready, worker_shutting_down

from results.errors import ResultsError
from workers import retention
from workers.lease.outages import attempts
from workers.lease.policy import TOO_LONG
from workers.lease.reclaiming import reclaim
from workers.process import this_process
from workers.queue import dispatching
from workers.queue.best_effort import try_advance

logger = logging.getLogger(__name__)

SWEEP_S = 10.0
"""How often the sweep looks for lost messages and expired leases, unless a quarter of a lease is shorter."""


@worker_ready.connect
def start_sweep(**_: Any) -> None:
    """Starts the thread that requeues lost work and deletes expired jobs."""
    Thread(target=_sweep_forever, name="sweep", daemon=True).start()


def _sweep_forever() -> None:
    process = this_process()
    while True:
        try:
            dispatching.sweep(process.app, process.database, process.settings.served_queues)
            retention.enforce(process.database, process.settings.retention_days)
        except Exception as error:
            # An outage of the database or Redis; the next round tries again.
            logger.warning("sweep failed: %s", error)
        time.sleep(min(SWEEP_S, process.settings.lease_seconds / 4))


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
        job_id = attempts()(reclaim, process.database, shard_id, is_dead, _reason(exception))
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
