"""Which shards should have a message in the queue. The queue may lose messages; the database is authoritative."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, exists, func, or_, select, update
from sqlalchemy.orm import Session

from results.attempts import note_attempt
from results.bulk import portions
from results.clock import ago, now
from results.jobs import UNFINISHED, changed, utc_now
from results.leases import DIED, EXPIRED, EXPIRED_LEASE, LEASE_S, LEASE_START, STREAM_LEASE_S
from results.streams import QUEUE
from results.tables import Job, Media, Shard

LEAST_WAITING = 2
"""Least number of a job's shards to keep queued, so that a worker that becomes free finds one."""

SENT_S = 10.0
"""Seconds after which a message that is not in the queue counts as lost if its shard was not claimed."""

QUEUED_KINDS = ("batch", "train", "stream")

SILENT_S = 3.0
"""Seconds without a heartbeat after which a stream is free if its worker's process has gone from this host.

Not at once: a container with the same host name has processes of its own that cannot be seen.
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many shards of a job of this `kind` and `queue` are unfinished (`left`) and should get a message (`wanted`).

    The queue holds as many shards of a job as are leased, at least `LEAST_WAITING`. This backpressure keeps every
    worker busy without making the next job wait behind the whole of this one.
    """

    kind: str
    queue: str
    left: int
    wanted: int


class Queued(NamedTuple):
    """A shard that gets a message, and its job's kind, queue and priority.

    `before_ms` are the milliseconds of its video that must be decoded before its own piece.
    """

    shard_id: int
    before_ms: int
    kind: str
    queue: str
    priority: int


def jobs_to_sweep(session: Session, queues: Sequence[str] | None = None) -> Sequence[str]:
    """The ids of the unfinished jobs that have shards, oldest first; of all queues, or of `queues`."""
    statement = select(Job.id).where(Job.kind.in_(QUEUED_KINDS), Job.state.in_(UNFINISHED)).order_by(Job.id)
    return session.scalars(statement if queues is None else statement.where(Job.queue.in_(queues))).all()


def backlogs(session: Session, jobs: Sequence[str], *, lease_s: float = LEASE_S) -> dict[str, Backlog]:
    """The backlogs of those of these jobs that are unfinished, in one statement.

    Call it in a new transaction after the one that ended a shard: two concurrent transactions do not see each other.
    """
    rows: Any = session.execute(_BACKLOG, {"of_jobs": list(jobs), "lease_s": lease_s})
    return {job_id: Backlog(*row) for job_id, *row in rows}


def mark_queued(session: Session, job_id: str, *, lease_s: float = LEASE_S) -> list[Queued]:
    """Marks as many of the job's shards as queued as its `Backlog.wanted`; returns them in order.

    Those are pending shards without a message, and shards whose lease of `lease_s` seconds expired. Concurrent calls
    take different shards: a few more may be queued then, none twice. None of a job that has ended.
    """
    return sorted(Queued(*row) for row in session.execute(_MARK, {"of_job": job_id, "lease_s": lease_s}))


def forget_lost_messages(session: Session, jobs: Sequence[str], sent: Collection[int], age_s: float = SENT_S) -> int:
    """Marks pending shards whose message got lost as not queued; returns how many.

    `sent` are the ids of the shards for which the queues of these jobs hold a message. A message sent less than
    `age_s` seconds ago may still be in transit. A duplicate message is harmless: the claim is a compare-and-set.
    """
    old = Shard.queued_at < utc_now(session) - timedelta(seconds=age_s)
    waiting = select(Shard.id).where(Shard.job_id.in_(jobs), Shard.state == "pending", old)
    lost = sorted(set(session.scalars(waiting)) - set(sent))
    pending = update(Shard).where(Shard.state == "pending").values(queued_at=None)
    return sum(changed(session, pending.where(Shard.id.in_(some))) for some in portions(lost))


def pass_on(session: Session, shard_id: int, pause_s: float) -> bool:
    """Has a pending shard that this worker will not claim queued again, after a pause; False if it moved on.

    A longer pause that it has already stays.
    """
    pending = update(Shard).where(Shard.id == shard_id, Shard.state == "pending")
    due = case((Shard.not_before > ago(-pause_s), Shard.not_before), else_=ago(-pause_s))
    return changed(session, pending.values(queued_at=None, not_before=due)) == 1


def streams_need_sweep(session: Session) -> bool:
    """Whether a stream waits for a worker, or its worker is silent; spares most workers a write."""
    silent = and_(Shard.state == "running", Shard.heartbeat_at < ago(SILENT_S))
    wanted = exists().where(_OF_STREAM, or_(Shard.state == "pending", silent))
    return bool(session.scalar(select(wanted)))


def release_silent(session: Session, is_gone: Callable[[str], bool]) -> list[int]:
    """Makes streams pending whose lease has expired, or whose process, HOST:PID, has gone; their shards.

    The attempt counts. A row that a frozen worker holds locked is left alone: PostgreSQL ends its session.
    """
    silent = (Shard.state == "running", Shard.heartbeat_at < ago(SILENT_S), _OF_STREAM)
    columns = (Shard.id, Shard.epoch, Shard.worker, (Shard.heartbeat_at < ago(STREAM_LEASE_S)))
    found = select(*columns).where(*silent).with_for_update(key_share=True, skip_locked=True, of=Shard)
    released = []
    for shard_id, epoch, worker, has_expired in session.execute(found):
        if has_expired or is_gone(worker or ""):
            held = update(Shard).where(Shard.id == shard_id, Shard.epoch == epoch, Shard.state == "running")
            changed(session, held.values(state="pending", queued_at=None))
            note_attempt(session, shard_id, epoch, EXPIRED_LEASE if has_expired else DIED, counted=True)
            released.append(shard_id)
    return released


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


# Not of a recording of a webcam, with which no other process could go on.
_IS_SERVED = (Job.kind == "stream", Job.queue == QUEUE)
_OF_STREAM = exists().where(Job.id == Shard.job_id, *_IS_SERVED, Job.state.in_(UNFINISHED))
_shards, _jobs = Shard.metadata.tables["shards"], Job.metadata.tables["jobs"]
_IS_DUE = or_(_shards.c.not_before.is_(None), _shards.c.not_before <= now)
_NEEDS = or_(
    and_(_shards.c.state == "pending", _shards.c.queued_at.is_(None), _IS_DUE),
    and_(EXPIRED, or_(_shards.c.queued_at.is_(None), _shards.c.queued_at < LEASE_START)),
)
_WAITS = or_(
    and_(_shards.c.state == "pending", _shards.c.queued_at.is_not(None)),
    and_(EXPIRED, _shards.c.queued_at >= LEASE_START),
)
_WORKS = and_(_shards.c.state == "running", _shards.c.heartbeat_at >= LEASE_START)
_OPEN_STATES = _shards.c.state.in_(("pending", "running"))
_OPEN = and_(_shards.c.job_id == bindparam("of_job"), _OPEN_STATES)
_count = func.count(_shards.c.id)
_working, _waiting, _needing = (_count.filter(each) for each in (_WORKS, _WAITS, _NEEDS))
_may_wait = case((_working > LEAST_WAITING, _working), else_=LEAST_WAITING)
_room = case((_may_wait > _waiting, _may_wait - _waiting), else_=0)
_wanted = case((_needing < _room, _needing), else_=_room)
_UNFINISHED_JOB = _jobs.c.state.in_(UNFINISHED)
_BACKLOG = (
    select(_jobs.c.id, _jobs.c.kind, _jobs.c.queue, _count, _wanted)
    .select_from(_jobs)
    .outerjoin(_shards, and_(_shards.c.job_id == _jobs.c.id, _OPEN_STATES))
    .where(_jobs.c.id.in_(bindparam("of_jobs", expanding=True)), _UNFINISHED_JOB)
    .group_by(_jobs.c.id)
)
# With their number in the same statement: counting them first costs a round trip in each shard's claim.
_chosen = (
    select(_shards.c.id)
    .where(_OPEN, _NEEDS, exists().where(_jobs.c.id == _shards.c.job_id, _UNFINISHED_JOB))
    .order_by(_shards.c.id)
    .limit(select(_room).where(_OPEN).correlate(None).scalar_subquery())
    .with_for_update(key_share=True, skip_locked=True)
    .cte("chosen")
)
_media = Media.metadata.tables["media"]
# A video whose timestamps are unreliable is decoded from its beginning for each piece.
_before = select(_shards.c.start_ms).where(_media.c.id == _shards.c.media_id, _media.c.ordered.is_(False))
_of_job = [
    select(_jobs.c[name]).where(_jobs.c.id == _shards.c.job_id).correlate(_shards).scalar_subquery()
    for name in ("kind", "queue", "priority")
]
_MARK = (
    update(_shards)
    .where(_shards.c.id.in_(select(_chosen.c.id)))
    .values(queued_at=now)
    .returning(_shards.c.id, func.coalesce(_before.correlate(_shards).scalar_subquery(), 0), *_of_job)
)
