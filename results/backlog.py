"""Which shards should have a message in the queue. The queue may forget; these tables do not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from results.clock import now
from results.jobs import UNFINISHED, changed, utc_now
from results.leases import EXPIRED, LEASE_S, LEASE_START
from results.tables import Job, Shard

LEAST_WAITING = 2
"""So many shards of a job wait in the queue at least, so that a worker that becomes free finds one."""

SENT_S = 10.0
"""A message that is not in the queue so long after it was sent is lost, or its shard would have been claimed."""

QUEUED_KINDS = ("batch", "train")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Where a job's messages go, and how many of its shards are unfinished, worked on, queued, and in need of that."""

    kind: str
    state: str
    queue: str
    priority: int
    left: int
    working: int
    waiting: int
    needing: int

    @property
    def wanted(self) -> int:
        """How many shards should get a message: as many as are being worked on may wait in the queue.

        And `LEAST_WAITING` in any case: enough to keep every worker busy, and so few that the job which comes next
        is not kept waiting.
        """
        return max(0, min(self.needing, max(self.working, LEAST_WAITING) - self.waiting))


def jobs_to_sweep(session: Session, queues: Sequence[str] | None = None) -> Sequence[str]:
    """The ids of the unfinished jobs that have shards, oldest first; of all queues, or of these."""
    statement = select(Job.id).where(Job.kind.in_(QUEUED_KINDS), Job.state.in_(UNFINISHED)).order_by(Job.id)
    return session.scalars(statement if queues is None else statement.where(Job.queue.in_(queues))).all()


def backlog(session: Session, job_id: str, *, lease_s: float = LEASE_S) -> Backlog | None:
    """How an unfinished job stands; None if it has ended, or was deleted.

    Ask in a new transaction after the one that ended a shard: two that end at once do not see each other.
    """
    row: Any = session.execute(_BACKLOG, {"of_job": job_id, "lease_s": lease_s}).one_or_none()
    return None if row is None else Backlog(*row)


def mark_queued(session: Session, job_id: str, count: int, *, lease_s: float = LEASE_S) -> list[int]:
    """At most so many of the job's shards that need a message, now marked as queued.

    That is those that wait and have none, and those whose worker has not been heard of for `lease_s`. Two that do
    this at once take different shards: a few more may wait then, none is sent twice.
    """
    if count == 0:
        return []
    return sorted(session.scalars(_MARK, {"of_job": job_id, "lease_s": lease_s, "most": count}))


def forget_lost_messages(session: Session, jobs: Sequence[str], sent: Collection[int], age_s: float = SENT_S) -> int:
    """Makes shards count as never queued whose message is not among those `sent`; says how many.

    `sent` are the shards that the queues of these jobs hold a message for. One that was sent less than `age_s`
    ago may be on its way. Should a worker have taken a message just now, a second one does no harm.
    """
    old = Shard.queued_at < utc_now(session) - timedelta(seconds=age_s)
    waiting = select(Shard.id).where(Shard.job_id.in_(jobs), Shard.state == "pending", old)
    lost = set(session.scalars(waiting)) - set(sent)
    return changed(session, update(Shard).where(Shard.id.in_(lost), Shard.state == "pending").values(queued_at=None))


def longest_waits(session: Session, queues: Sequence[str]) -> dict[str, float]:
    """For each of these queues the seconds that its longest-waiting shard has been queued; 0 if none is."""
    oldest = (
        select(Job.queue, func.min(Shard.queued_at))
        .join(Shard, Shard.job_id == Job.id)
        .where(Job.queue.in_(queues), Job.state.in_(UNFINISHED), Shard.state == "pending")
        .group_by(Job.queue)
    )
    moment = utc_now(session)
    found = session.execute(oldest)
    waits = {queue: max((moment - since).total_seconds(), 0.0) for queue, since in found if since is not None}
    return dict.fromkeys(queues, 0.0) | waits


_shards, _jobs = Shard.metadata.tables["shards"], Job.metadata.tables["jobs"]
_NEEDS = or_(
    and_(_shards.c.state == "pending", _shards.c.queued_at.is_(None)),
    and_(EXPIRED, or_(_shards.c.queued_at.is_(None), _shards.c.queued_at < LEASE_START)),
)
_WAITS = or_(
    and_(_shards.c.state == "pending", _shards.c.queued_at.is_not(None)),
    and_(EXPIRED, _shards.c.queued_at >= LEASE_START),
)
_WORKS = and_(_shards.c.state == "running", _shards.c.heartbeat_at >= LEASE_START)
_OPEN = and_(_shards.c.job_id == bindparam("of_job"), _shards.c.state.in_(("pending", "running")))
_count = func.count(_shards.c.id)
_BACKLOG = (
    select(
        *(_jobs.c[name] for name in ("kind", "state", "queue", "priority")),
        *(_count, _count.filter(_WORKS), _count.filter(_WAITS), _count.filter(_NEEDS)),
    )
    .select_from(_jobs)
    .outerjoin(_shards, _OPEN)
    .where(_jobs.c.id == bindparam("of_job"), _jobs.c.state.in_(UNFINISHED))
    .group_by(_jobs.c.id)
)
_chosen = (
    select(_shards.c.id)
    .where(_OPEN, _NEEDS)
    .order_by(_shards.c.id)
    .limit(bindparam("most"))
    .with_for_update(key_share=True, skip_locked=True)
    .cte("chosen")
)
_MARK = update(_shards).where(_shards.c.id.in_(select(_chosen.c.id))).values(queued_at=now).returning(_shards.c.id)
