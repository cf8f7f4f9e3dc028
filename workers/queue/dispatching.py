"""Sending messages for what the database says is to be done. Sending one twice does no harm."""

import json
from collections.abc import Callable

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from results.backlog import SENT_S, Backlog, backlog, forget_lost_messages, jobs_to_sweep, mark_queued
from results.database import reading, writing
from results.jobs import UNFINISHED, adopt_jobs, get_job, retry_job
from workers.queue.app import PRIORITIES, app
from workers.settings import settings

TASKS = {"batch": "process_shard", "train": "train"}
"""The task that works on the shards of each kind of job."""

RUN_QUEUE = "run-"
"""How the queue of a `fer-batch run` begins, which only its own worker serves."""

LOCAL_QUEUE = "local"
"""The queue of runs that no worker serves: they belong to whoever called `train --local`."""

SHARD = "shard"
"""The header that says which shard a message is for, so that the sweep can tell which are in the queue."""


def queue_next(session: Session, job_id: str) -> Callable[[], int]:
    """Marks the job's next shards as queued; what it gives sends their messages, once the transaction is over.

    That gives their number, and raises what Celery raises if the broker is away; what was not sent is found by the
    sweep.
    """
    lease_s = settings().lease_seconds
    job = backlog(session, job_id, lease_s=lease_s)
    if job is None:
        return lambda: 0
    waiting = mark_queued(session, job_id, job.wanted, lease_s=lease_s)

    def send() -> int:
        for shard_id in waiting:
            _send(job, TASKS[job.kind], shard_id, priority=PRIORITIES - 1 - job.priority, headers={SHARD: shard_id})
        return len(waiting)

    return send


def advance(database: Database, job_id: str) -> int:
    """Queues the job's next shards, or its finishing when no shard is left; gives the number of messages.

    Raises what Celery raises if the broker is away; what was not sent is found by the sweep.
    """
    with reading(database) as session:
        job = backlog(session, job_id, lease_s=settings().lease_seconds)
    if job is None:
        return 0
    if job.left == 0:
        # Before all shards: it is short, and somebody waits for it.
        _send(job, "finish_job", job_id, priority=0)
        return 1
    if job.wanted == 0:
        return 0
    with writing(database) as session:
        send = queue_next(session, job_id)
    return send()


def _send(job: Backlog, task: str, subject: int | str, *, priority: int, headers: dict[str, int] | None = None) -> None:
    """`priority` is Redis': the first is 0."""
    app.send_task(task, (subject,), queue=job.queue, priority=priority, headers=headers)


def sweep(database: Database, queues: list[str], age_s: float = SENT_S) -> dict[str, int]:
    """Does for every unfinished job of these queues what a lost message or a dead worker left undone.

    Gives the number of messages for each job that needed some. What was sent less than `age_s` ago may be on its way.
    """
    with reading(database) as session:
        unfinished = jobs_to_sweep(session, queues)
    if not unfinished:
        return {}
    sent = _sent(queues)
    with writing(database) as session:
        forget_lost_messages(session, unfinished, sent, age_s)
    counts = {job_id: advance(database, job_id) for job_id in unfinished}
    return {job_id: count for job_id, count in counts.items() if count}


def resume(database: Database) -> dict[str, int]:
    """As `sweep`, for all queues, and for jobs of a `fer-batch run` that was killed.

    What a `run` that lives, or whoever called `train --local`, is still at is left to them: nobody would read its
    messages here. Raises what Celery raises if the broker is away.
    """
    with writing(database) as session:
        adopt_jobs(session, RUN_QUEUE, settings().queues.split(",")[0], settings().lease_seconds)
    with reading(database) as session:
        queues = {get_job(session, job).queue for job in jobs_to_sweep(session)}
    served = sorted(queue for queue in queues if queue != LOCAL_QUEUE and not queue.startswith(RUN_QUEUE))
    # Whoever calls this knows that something was lost; a message too many does no harm.
    return sweep(database, served, age_s=0)


def retry(database: Database, job_id: str) -> int:
    """Queues again what of a job failed or was cancelled; gives the number of its shards.

    Raises what Celery raises if the broker is away; what was not sent is found by the sweep.
    """
    with writing(database) as session:
        job = get_job(session, job_id)
        if job.state not in UNFINISHED and job.queue.startswith(RUN_QUEUE):
            # Its `run` is over, and nobody else serves its queue.
            job.queue = settings().queues.split(",")[0]
        count = retry_job(session, job_id)
    if count:
        advance(database, job_id)
    return count


def _sent(queues: list[str]) -> set[int]:
    """The shards that have a message in one of these queues."""
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        names = [channel._q_for_pri(queue, step) for queue in queues for step in channel.priority_steps]
        messages = [message for name in names for message in channel.client.lrange(name, 0, -1)]
    headers = (json.loads(message)["headers"] for message in messages)
    return {each[SHARD] for each in headers if SHARD in each}
