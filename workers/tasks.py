"""The tasks: each takes an id, calls a function and queues what comes next.

A worker's main process imports this module and does none of the work: what only the work needs is imported by a task.
"""

import logging
import time
from collections.abc import Callable

from celery import current_task, shared_task
from sqlalchemy.orm import Session

from results import leases
from results.database import reading, writing
from results.jobs import job_of_shard
from workers.batch import absence
from workers.batch.finishing import finish
from workers.process import WorkerProcess, this_process, worker_name
from workers.queue import dispatching
from workers.queue.app import CLOSING_LIMIT_S, TRAINING_LIMIT_S
from workers.queue.best_effort import try_advance, try_send

logger = logging.getLogger(__name__)

HAND_BACK_S = 1.0
"""How long a worker that is absent waits before it passes on a message."""


@shared_task(name="process_shard")
def process_shard(shard_id: int) -> None:
    """Works on one shard, then queues what comes next in its job."""
    from workers.batch import processing

    process = this_process()
    if _is_absent(process):
        _hand_back(process, shard_id)
        return
    job_id = processing.process_shard(
        process.database,
        process.settings,
        shard_id,
        worker_name(),
        process.engine,
        queue=_queue_next,
        stopping=process.is_grace_over,
        misses=process.misses,
    ) or _job_of(shard_id, "batch")
    if len(process.misses) >= absence.MISSES:
        absence.leave(process.database, _node(), process.misses)
    if job_id is not None:
        try_advance(process.app, process.database, job_id)


@shared_task(name="serve_stream", acks_late=False)
def serve_stream(shard_id: int) -> None:
    """Hands a stream to the hub of this process, and ends.

    The message is acknowledged early: a stream outlives every visibility timeout, and its lease is what counts.
    """
    from workers.streams.serving import serve

    serve(this_process().hub, shard_id)


@shared_task(name="train", soft_time_limit=TRAINING_LIMIT_S, time_limit=TRAINING_LIMIT_S + 60)
def train(shard_id: int) -> None:
    """Works on one training run until it ends, or until this worker shuts down."""
    from workers.training import run

    process = this_process()
    run.train(process.database, process.settings, shard_id, worker_name(), process.device, process.is_stopping)
    if (job_id := _job_of(shard_id, "train")) is not None:
        # Directly: a message would wait behind the queued trainings.
        finish(process.database, job_id)


@shared_task(name="finish_job", soft_time_limit=CLOSING_LIMIT_S, time_limit=CLOSING_LIMIT_S + 60)
def finish_job(job_id: str) -> None:
    """Stitches tracks across segments and closes the job. Idempotent."""
    finish(this_process().database, job_id)


def _node() -> str:
    """The name of this process's worker, as Celery has it."""
    return str(current_task.request.hostname)


def _is_absent(process: WorkerProcess) -> bool:
    if len(process.misses) < absence.MISSES:
        return False
    if absence.is_absent(process.database, _node()):
        return True
    process.misses.clear()
    return False


def _hand_back(process: WorkerProcess, shard_id: int) -> None:
    # Its message may come back to this worker until the main process has stopped receiving.
    time.sleep(HAND_BACK_S)
    with writing(process.database) as session:
        job_id = leases.hand_back(session, shard_id)
    if job_id is not None:
        try_advance(process.app, process.database, job_id)


def _job_of(shard_id: int, kind: str) -> str | None:
    with reading(this_process().database) as session:
        job = job_of_shard(session, shard_id)
    if job is None:
        return None
    if job.kind != kind:
        logger.error("the message for shard %s was skipped: it belongs to a job of kind %s", shard_id, job.kind)
    return job.id


def _queue_next(session: Session, job_id: str) -> Callable[[], None]:
    send = dispatching.queue_next(this_process().app, session, job_id)
    return lambda: try_send(job_id, send)
