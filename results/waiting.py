"""How long work has been waiting for a worker."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.jobs import UNFINISHED, utc_now
from results.tables import Job, Shard


def longest_waits(session: Session, queues: Sequence[str]) -> dict[str, float]:
    """For each of these queues, since how many seconds its longest queued shard has been waiting; 0 if none is."""
    oldest = (
        select(Job.queue, func.min(Shard.queued_at))
        .join(Shard, Shard.job_id == Job.id)
        .where(Job.queue.in_(queues), Job.state.in_(UNFINISHED), Shard.state == "pending")
        .group_by(Job.queue)
    )
    now = utc_now(session)
    found = session.execute(oldest)
    waits = {queue: max((now - since).total_seconds(), 0.0) for queue, since in found if since is not None}
    return dict.fromkeys(queues, 0.0) | waits
