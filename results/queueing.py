"""Which shards should have a message in the queue. The queue may forget; these tables do not."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from results.jobs import UNFINISHED, changed, utc_now
from results.models import Job, Shard

LEASE_S = 60.0
"""A worker that was not heard of for so long has lost its shard."""

LEAST_WAITING = 2
"""So many shards of a job wait in the queue at least, so that a worker that becomes free finds one."""

SENT_S = 10.0
"""A message that is not in the queue so long after it was sent is lost, or its shard would have been claimed."""

QUEUED_KINDS = ("batch", "train")


def jobs_to_sweep(session: Session, queues: Sequence[str] | None = None) -> Sequence[str]:
    """The ids of the unfinished jobs that have shards, oldest first; of all queues, or of these."""
    statement = select(Job.id).where(Job.kind.in_(QUEUED_KINDS), Job.state.in_(UNFINISHED)).order_by(Job.id)
    return session.scalars(statement if queues is None else statement.where(Job.queue.in_(queues))).all()


def pending_to_queue(session: Session, job_id: str, *, lease_s: float = LEASE_S) -> list[int]:
    """The shards of a job to send a message for, now marked as queued.

    That is those that wait and have none, and those whose worker has not been heard of for `lease_s`. As many as
    are being worked on may wait in the queue, and `LEAST_WAITING` in any case: enough to keep every worker busy,
    and so few that the job which comes next is not kept waiting.
    """
    now = utc_now(session)
    needs, waits, works = _conditions(now - timedelta(seconds=lease_s))
    count = func.count().filter
    unfinished = and_(Shard.job_id == job_id, Shard.state.in_(("pending", "running")))
    working, waiting = session.execute(select(count(works), count(waits)).where(unfinished)).one()
    free = max(working, LEAST_WAITING) - waiting
    if free <= 0:
        return []
    # Two that do this at once take different shards: a few more may wait then, none is sent twice.
    chosen = select(Shard.id).where(unfinished, needs).order_by(Shard.id).limit(free)
    shards = session.scalars(chosen.with_for_update(key_share=True, skip_locked=True)).all()
    changed(session, update(Shard).where(Shard.id.in_(shards)).values(queued_at=now))
    return list(shards)


def forget_lost_messages(session: Session, jobs: Sequence[str], sent: Collection[int], age_s: float = SENT_S) -> int:
    """Makes shards count as never queued whose message is not among those `sent`; says how many.

    `sent` are the shards that the queues of these jobs hold a message for. One that was sent less than `age_s`
    ago may be on its way. Should a worker have taken a message just now, a second one does no harm.
    """
    old = Shard.queued_at < utc_now(session) - timedelta(seconds=age_s)
    waiting = select(Shard.id).where(Shard.job_id.in_(jobs), Shard.state == "pending", old)
    lost = set(session.scalars(waiting)) - set(sent)
    return changed(session, update(Shard).where(Shard.id.in_(lost), Shard.state == "pending").values(queued_at=None))


def _conditions(lease: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool], ColumnElement[bool]]:
    """Which shards need a message, which have one, and which are being worked on."""
    never, pending = Shard.queued_at.is_(None), Shard.state == "pending"
    unheard = and_(Shard.state == "running", Shard.heartbeat_at < lease)
    again = or_(never, Shard.queued_at < lease)
    needs = or_(and_(pending, never), and_(unheard, again))
    waits = or_(and_(pending, Shard.queued_at.is_not(None)), and_(unheard, Shard.queued_at >= lease))
    return needs, waits, and_(Shard.state == "running", Shard.heartbeat_at >= lease)
