"""Sends messages for the work that the database lists as open. They are idempotent: duplicates do no harm."""

import json
import logging
from collections.abc import Callable
from typing import Any

from celery import Celery
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from results.backlog import SENT_S, backlogs, forget_lost_messages, jobs_to_sweep, mark_queued
from results.bulk import portions
from results.database import looking, reading, writing
from results.jobs import UNFINISHED, adopt_jobs, get_job, retry_job
from results.leases import give_up_missing
from results.stuck import end_stuck_copies
from results.training import QUEUE as TRAINING_QUEUE
from workers.queue.app import PRIORITIES, limits_after, settings_of

logger = logging.getLogger(__name__)

TASKS = {"batch": "process_shard", "train": "train", "stream": "serve_stream"}
"""The task that works on the shards of each kind of job."""

RUN_QUEUE = "run-"
"""The prefix of the queue of a `fer-batch run`, which only its own worker serves."""

LOCAL_QUEUE = "local"
"""The queue of trainings that belong to a `train --local`; no worker serves it."""

SHARD, JOB = "shard", "job"
"""The headers that name a message's shard, or the job to close, so that the sweep can tell what is in the queue."""


def queue_next(app: Celery, session: Session, job_id: str) -> Callable[[], int]:
    """Marks the job's next shards as queued. Returns a function that sends their messages after the transaction.

    That function returns their number, and raises `BROKER_ERRORS`; the sweep finds what was not sent.
    """
    queued = mark_queued(session, job_id, lease_s=settings_of(app).lease_seconds)

    def send() -> int:
        for each in queued:
            priority = PRIORITIES - 1 - each.priority
            limits = limits_after(app, each.before_ms / 1000) if each.before_ms else {}
            _send(app, each.queue, TASKS[each.kind], each.shard_id, priority=priority, header=SHARD, **limits)
        return len(queued)

    return send


def advance(app: Celery, database: Database, job_id: str) -> int:
    """Queues the job's next shards, or its finishing when no shard is left. Returns the number of messages.

    Raises `BROKER_ERRORS` if the broker is away; the sweep finds what was not sent.
    """
    with looking(database) as session:
        job = backlogs(session, [job_id], lease_s=settings_of(app).lease_seconds).get(job_id)
    if job is None:
        return 0
    if job.left == 0 and job.kind == "stream":
        # It never ends by itself.
        return 0
    if job.left == 0:
        # Before all shards: it is short, and a user waits for it.
        _send(app, job.queue, "finish_job", job_id, priority=0, header=JOB)
        return 1
    if job.wanted == 0:
        return 0
    with writing(database) as session:
        send = queue_next(app, session, job_id)
    return send()


def _send(
    app: Celery, queue: str, task: str, subject: int | str, *, priority: int, header: str, **limits: float
) -> None:
    """`priority` as Redis counts: 0 goes first."""
    app.send_task(task, (subject,), queue=queue, priority=priority, headers={header: subject}, **limits)


def sweep(app: Celery, database: Database, queues: list[str], age_s: float = SENT_S) -> dict[str, int]:
    """Requeues what lost messages and dead workers left undone in the unfinished jobs of these queues.

    Returns the number of messages for each job that needed some. Messages sent less than `age_s` ago do not count as
    lost.
    """
    with reading(database) as session:
        unfinished = jobs_to_sweep(session, queues)
    if not unfinished:
        return {}
    sent, closing = _sent(app, queues)
    with writing(database) as session:
        if ended := end_stuck_copies(session):
            logger.warning("%s sessions of frozen workers were ended: they held locks", ended)
    counts: dict[str, int] = {}
    for jobs in portions(unfinished):
        with writing(database) as session:
            forget_lost_messages(session, jobs, sent, age_s)
            give_up_missing(session, jobs)
        with reading(database) as session:
            found = backlogs(session, jobs, lease_s=settings_of(app).lease_seconds)
        # Most jobs of many wait for nothing, and a transaction for each would take seconds.
        open_jobs = [job_id for job_id, job in found.items() if job.wanted or (job.left == 0 and job_id not in closing)]
        counts |= {job_id: advance(app, database, job_id) for job_id in open_jobs}
    return {job_id: count for job_id, count in counts.items() if count}


def resume(app: Celery, database: Database) -> dict[str, int]:
    """As `sweep`, for all queues, and for jobs of a `fer-batch run` that was killed.

    Jobs of a live `run` or `train --local` are left to it: no worker would read their messages. Raises
    `BROKER_ERRORS` if the broker is away.
    """
    with writing(database) as session:
        adopt_jobs(session, RUN_QUEUE, settings_of(app).submit_queue, settings_of(app).lease_seconds)
    with reading(database) as session:
        queues = {get_job(session, job).queue for job in jobs_to_sweep(session)}
    served = sorted(queue for queue in queues if queue != LOCAL_QUEUE and not queue.startswith(RUN_QUEUE))
    # The caller knows that messages were lost, and duplicates do no harm.
    return sweep(app, database, served, age_s=0)


def reopen(app: Celery, database: Database, job_id: str) -> int:
    """Makes what of a job failed or was cancelled pending again. Returns the number of its shards.

    Call `advance` then, without shards too: only the end of the job may have failed.
    """
    with writing(database) as session:
        job = get_job(session, job_id)
        # The command is over that worked on its queue, which no worker serves.
        if job.state not in UNFINISHED and job.queue == LOCAL_QUEUE:
            job.queue = TRAINING_QUEUE
        elif job.state not in UNFINISHED and job.queue.startswith(RUN_QUEUE):
            job.queue = settings_of(app).submit_queue
        return retry_job(session, job_id)


def _sent(app: Celery, queues: list[str]) -> tuple[set[int], set[str]]:
    """The shards, and the jobs to close, that have a message in one of these queues."""
    found: list[dict[str, Any]] = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        for name in [channel._q_for_pri(queue, step) for queue in queues for step in channel.priority_steps]:
            for message in channel.client.lrange(name, 0, -1):
                if (headers := _headers(message)) is None:
                    logger.error("a message that is none of ours was removed from %s", name)
                    channel.client.lrem(name, 0, message)
                else:
                    found.append(headers)
    return {each[SHARD] for each in found if SHARD in each}, {each[JOB] for each in found if JOB in each}


def _headers(message: bytes) -> dict[str, Any] | None:
    """The headers of a message of Celery's; None if it is none, or its shard or job cannot be an id."""
    try:
        headers = json.loads(message)["headers"]
        is_ours = "task" in headers and isinstance(headers.get(SHARD, 0), int) and isinstance(headers.get(JOB, ""), str)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return headers if is_ours else None
