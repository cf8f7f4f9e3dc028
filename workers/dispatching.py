"""Sending messages for what the database says is to be done. Sending one twice does no harm."""

from sqlalchemy import Engine

from results.database import reading, writing
from results.jobs import UNFINISHED, get_job
from results.shards import jobs_to_sweep, pending_to_queue, shards_left
from workers.app import app

WINDOW = 32
"""Shards of one job that are queued or running at once, so that a large job does not starve a small one."""

STALE_S = 60.0
"""A message that nobody took up for so long, although the queue is empty, is lost and sent again."""

TASKS = {"batch": "process_shard", "train": "train"}
"""The task that works on the shards of each kind of job."""

NEVER_S = 1e9
"""Takes no message for lost: while others wait in the queue, late and lost look the same."""


def advance(database: Engine, job_id: str, stale_after_s: float = NEVER_S) -> None:
    """Queues the job's next shards, or its finishing when no shard is left; does nothing for an ended job.

    Messages sent more than `stale_after_s` seconds ago are taken for lost. Raises what Celery
    raises if the broker is away; what was not sent is found by the sweep.
    """
    with writing(database) as session:
        job = get_job(session, job_id)
        if job.state not in UNFINISHED:
            return
        waiting = pending_to_queue(session, job_id, WINDOW, stale_after_s)
    for shard_id in waiting:
        app.send_task(TASKS[job.kind], (shard_id,), queue=job.queue)
    if waiting:
        return
    with reading(database) as session:
        finished = not shards_left(session, job_id)
    if finished:
        app.send_task("finish_job", (job_id,), queue=job.queue)


def sweep(database: Engine, queues: list[str]) -> None:
    """Does for every unfinished job of these queues what a lost message or a dead worker left undone."""
    with reading(database) as session:
        unfinished = jobs_to_sweep(session, queues)
    if unfinished:
        # While messages wait, the shards behind them are not lost, only late.
        stale_after_s = NEVER_S if any(map(_waiting, queues)) else STALE_S
        for job_id in unfinished:
            advance(database, job_id, stale_after_s)


def _waiting(queue: str) -> int:
    """The number of messages in a queue."""
    with app.connection_for_read() as connection:
        return int(connection.default_channel.client.llen(queue))
