"""Which shards should have a message in the queue. The queue may forget; these tables do not."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import and_, func, not_, or_, select, update
from sqlalchemy.orm import Session

from results.jobs import UNFINISHED, utc_now
from results.models import Job, Shard

LEASE_S = 60.0
QUEUED_KINDS = ("batch", "train")


def jobs_to_sweep(session: Session, queues: Sequence[str] | None = None) -> Sequence[str]:
    """The ids of the unfinished jobs that have shards, oldest first; of all queues, or of these."""
    statement = select(Job.id).where(Job.kind.in_(QUEUED_KINDS), Job.state.in_(UNFINISHED)).order_by(Job.id)
    return session.scalars(statement if queues is None else statement.where(Job.queue.in_(queues))).all()


def pending_to_queue(
    session: Session,
    job_id: str | None,
    window: int,
    stale_after_s: float,
    *,
    lease_s: float = LEASE_S,
) -> list[int]:
    """The shards to send a message for, now marked as queued; of one job, or of all that `jobs_to_sweep` gives.

    A shard that waits needs one if none was sent in the last `stale_after_s` seconds; one whose worker has not
    been heard of for `lease_s`, if none was sent for the shorter of both times. No job gets more than `window`
    shards queued or running at once.
    """
    jobs = jobs_to_sweep(session) if job_id is None else [job_id]
    return [shard for job in jobs for shard in _of_one_job(session, job, window, stale_after_s, lease_s)]


def _of_one_job(session: Session, job_id: str, window: int, stale_after_s: float, lease_s: float) -> list[int]:
    now = utc_now(session)
    lease, stale = now - timedelta(seconds=lease_s), now - timedelta(seconds=stale_after_s)
    never = Shard.queued_at.is_(None)
    unheard = and_(
        Shard.state == "running", Shard.heartbeat_at < lease, or_(never, Shard.queued_at <= max(lease, stale))
    )
    unsent = and_(Shard.state == "pending", or_(never, Shard.queued_at <= stale))
    needs = or_(unsent, unheard)
    unfinished = and_(Shard.job_id == job_id, Shard.state.in_(("pending", "running")))
    in_flight = session.scalars(select(func.count()).where(unfinished, not_(needs))).one()
    # Two sweeps at once then take different shards: a little over the window, never the same one twice.
    free = select(Shard.id).where(unfinished, needs).order_by(Shard.id).limit(max(window - in_flight, 0))
    chosen = session.scalars(free.with_for_update(key_share=True, skip_locked=True)).all()
    marked = update(Shard).where(Shard.id.in_(chosen)).values(queued_at=now)
    session.execute(marked, execution_options={"synchronize_session": False})
    return list(chosen)
