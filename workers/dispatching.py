"""Sending messages for what the database says is to be done. Sending one twice does no harm."""

import logging

from sqlalchemy import Engine

from results.database import reading, writing
from results.shards import jobs_to_sweep, pending_to_queue, shards_left
from workers.app import app

logger = logging.getLogger(__name__)

WINDOW = 32
"""Shards of one job that are queued or running at once, so that a large job does not starve a small one."""

STALE_S = 60.0
"""A message that nobody took up for so long may be lost, and is sent again."""


def advance(database: Engine, job_id: str) -> None:
    """Queues the job's next shards, or its finishing when no shard is left."""
    with writing(database) as session:
        waiting = pending_to_queue(session, job_id, WINDOW, STALE_S)
    for shard_id in waiting:
        app.send_task("process_shard", (shard_id,))
    if waiting:
        return
    with reading(database) as session:
        finished = job_id in jobs_to_sweep(session) and not shards_left(session, job_id)
    if finished:
        app.send_task("finish_job", (job_id,))


def sweep(database: Engine) -> None:
    """Does for every unfinished job what a lost message or a dead worker left undone."""
    with reading(database) as session:
        unfinished = jobs_to_sweep(session)
    for job_id in unfinished:
        advance(database, job_id)
