"""Reclaiming the shard of a worker that died, instead of waiting until its lease expires."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Engine as Database

from results import leases
from results.database import reading, writing
from results.errors import JobCancelledError, ShardLostError
from results.tables import Shard

logger = logging.getLogger(__name__)

DEATH_S = 5.0
"""A process that is being killed has ended by then."""


def reclaim(database: Database, shard_id: int, is_dead: Callable[[str], bool], reason: str) -> str | None:
    """Requeues a shard whose worker's process has died, and counts the attempt.

    Waits up to `DEATH_S` until `is_dead` is true of the worker that holds the shard. Returns the job's id if the job
    may have shards to queue. Raises `ResultsError`.
    """
    with reading(database) as session:
        shard = session.get(Shard, shard_id)
    if shard is None or shard.worker is None or shard.state != "running":
        return None
    until = time.monotonic() + DEATH_S
    while not is_dead(shard.worker):
        if time.monotonic() > until:
            return None
        time.sleep(0.1)
    with suppress(JobCancelledError, ShardLostError), writing(database) as session:
        if leases.reclaim(session, shard_id, shard.worker, reason):
            logger.warning("shard %s: %s", shard_id, reason)
    return shard.job_id
