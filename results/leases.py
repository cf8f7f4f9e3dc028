"""Leases on shards: claim, heartbeat, fenced write, requeue, fail.

A claim carries the shard's `epoch`, a fencing token that each claim increments. Every write of a worker requires its
own epoch, so a worker that lost its lease cannot write any more. Trainings and streams are shards too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Text,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from results.attempts import note_attempt
from results.clock import ago, now
from results.errors import JobCancelledError, ShardLostError
from results.jobs import UNFINISHED, changed, start_job
from results.media import Piece, fail_media, media_of
from results.tables import Job, Shard, ShardAttempt

LEASE_S = 60.0
"""Seconds without a heartbeat after which a worker has lost its shard."""

STREAM_LEASE_S = 12.0
"""As `LEASE_S`, of a stream: until then nothing is recorded."""

MAX_ATTEMPTS = 3
DIED = "the worker process died"

AWAY = "the database was away"
EXPIRED_LEASE = "its worker died, or lost its connection to the database"

MISSING_S, LEFT_S = 20.0, 3600.0
"""Seconds for which a missing file is looked for: a file alone, and a file whose whole folder is missing or empty."""

LONGEST_PAUSE_S = 60.0
"""Most seconds between two claims of a stream that ended in deaths of the worker, which double from 2 on."""

PAUSE_S = 2.0
"""Least seconds until a shard whose file is missing is tried again."""


@dataclass(frozen=True, slots=True)
class Claim(Piece):
    """A leased shard: the piece of work `id`, held while its row still has this `epoch`; `options` are its job's."""

    id: int
    epoch: int
    attempts: int
    options: Mapping[str, Any] = field(hash=False)


def claim(
    session: Session, shard_id: int, worker: str, *, lease_s: float = LEASE_S, kind: str | None = None
) -> Claim | None:
    """Leases the shard to `worker` if it is pending, or if its last heartbeat is more than `lease_s` seconds old.

    With `kind` only a shard of a job of this kind: a message may name any shard.

    None if it is finished, cancelled or leased to another worker. A shard that used up its `MAX_ATTEMPTS` attempts
    becomes `failed` and gives None too; so after None, as after a completed shard, look at the job's backlog.
    The last attempt takes the pictures of a shard one by one.

    A stream is tried without end. After k deaths without progress in between, it is claimed again 2**k seconds, at
    most `LONGEST_PAUSE_S`, after the claim before.
    """
    place = {"claimed": shard_id, "lease_s": lease_s, "of_kind": kind}
    row = session.execute(_CLAIM, place | {"worker": worker}).one_or_none()
    if row is None:
        if (exhausted := session.execute(_EXHAUST, place).one_or_none()) is not None:
            *columns, error = exhausted
            found = Claim(*columns)
            note_attempt(session, found.id, found.epoch - 1, EXPIRED_LEASE, counted=True)
            _fail_exhausted(session, found, error)
        return None
    *columns, state = row
    found = Claim(*columns)
    if state == "queued":
        start_job(session, found.job_id)
    if found.attempts > 1:
        note_attempt(session, found.id, found.epoch - 1, EXPIRED_LEASE, counted=True)
    return _isolate_first(session, found) if found.attempts == MAX_ATTEMPTS else found


def held_by(session: Session, shard_id: int, worker: str) -> Claim | None:
    """The claim of a worker that may be dead; None if it does not hold the shard."""
    held = (Shard.id == shard_id, Shard.worker == worker, Shard.state == "running")
    row = session.execute(select(*_COLUMNS).where(*held)).one_or_none()
    return None if row is None else Claim(*row)


def heartbeat(session: Session, claim: Claim, counts: tuple[int, int] | None = None) -> None:
    """Renews the lease; `counts` are the frames and faces processed so far, None leaves them as they are.

    Raises:
        JobCancelledError: the job was cancelled.
        ShardLostError: another worker has the shard, or it was deleted.
    """
    renew(session, claim, {} if counts is None else {"frames": counts[0], "faces": counts[1]})


def renew(session: Session, claim: Claim, values: Mapping[str, Any]) -> None:
    """As `update_own`, and renews the lease; `values` are plain values, the statement is built once."""
    _update_fenced(session, claim, _OWN_ALIVE, values)


def update_own(session: Session, claim: Claim, values: Mapping[str, Any]) -> None:
    """The fence: changes the shard's row while it still has the claim's epoch; raises as `heartbeat`.

    Every transaction in which a worker writes begins with it, or with a function that calls it.
    """
    _update_fenced(session, claim, _OWN.values(dict(values)), {})


def progress(
    session: Session,
    claim: Claim,
    values: Mapping[str, Any] | None = None,
    *,
    repeated: ColumnElement[bool] | None = None,
) -> None:
    """Renews the lease and restarts the count of attempts: a shard fails after three deaths without progress.

    Attempts stay as they are where `repeated` is true in SQL, for a step that an earlier attempt had made already.
    `values` are further columns of the shard. Raises as `heartbeat`.
    """
    attempts: Any = 1 if repeated is None else case((repeated, Shard.attempts), else_=1)
    update_own(session, claim, {"heartbeat_at": now, "attempts": attempts, **(values or {})})


def requeue(session: Session, claim: Claim, reason: str | None = None, *, counted: bool = True) -> bool:
    """Makes the shard pending again; True if so. Raises as `heartbeat`.

    A counted attempt that was the last of `MAX_ATTEMPTS` fails the shard instead. An attempt is not counted when the
    shard is not to blame: the worker stops, or the database was away. The `reason` of a counted attempt becomes the
    shard's error; None leaves an earlier one.
    """
    # Its files were not what ended this attempt.
    values = _PENDING | {"missing_since": None} | ({"error": reason} if reason and counted else {})
    if not counted:
        update_own(session, claim, values | {"attempts": Shard.attempts - 1, "not_before": None})
        _note(session, claim, reason, counted=False)
        return True
    # The row counts, not the claim: progress may have restarted it.
    if changed(session, _OWN.where(_MAY_TRY).values(values), _token(claim)):
        _note(session, claim, reason)
        return True
    update_own(session, claim, {"state": "failed"})
    _note(session, claim, reason)
    _fail_exhausted(session, replace(claim, attempts=MAX_ATTEMPTS), reason)
    return False


def hand_back(session: Session, shard_id: int) -> str | None:
    """Has a pending shard queued again, for a worker that got its message and will not claim it. Gives its job."""
    pending = update(Shard).where(Shard.id == shard_id, Shard.state == "pending")
    handed = pending.values(queued_at=None).returning(Shard.job_id)
    return session.scalar(handed, execution_options={"synchronize_session": False})


def postpone(session: Session, claim: Claim, reason: str, longest_s: float) -> bool:
    """Requeues, uncounted, a shard whose file is missing on this host; True if so. Raises as `heartbeat`.

    It gets its next message after `PAUSE_S` seconds. Once it has been missing for `longest_s` seconds it fails.
    """
    since = {"missing_since": func.coalesce(Shard.missing_since, now), "not_before": ago(-PAUSE_S)}
    values = _PENDING | since | {"error": reason, "attempts": Shard.attempts - 1}
    is_new = or_(Shard.missing_since.is_(None), Shard.missing_since > ago(longest_s))
    if changed(session, _OWN.where(is_new).values(values), _token(claim)):
        _note(session, claim, reason, counted=False)
        return True
    fail(session, claim, reason)
    return False


def give_up_missing(session: Session, jobs: Sequence[str]) -> int:
    """Fails the waiting shards of these jobs whose files have been missing for `LEFT_S` seconds; returns how many."""
    long = (Shard.job_id.in_(jobs), Shard.state == "pending", Shard.missing_since < ago(LEFT_S))
    values = {"state": "failed", "epoch": Shard.epoch + 1}
    given_up = update(_SHARDS).where(*long).values(values).returning(*_COLUMNS, Shard.error)
    rows = session.execute(given_up).all()
    for *columns, error in rows:
        fail_media(session, Claim(*columns), error or DIED)
    return len(rows)


def uncount(session: Session, claim: Claim) -> bool:
    """Takes back the count of an attempt that ended in an outage of the database, though its worker lives.

    The shard is requeued if it still has the claim's epoch; otherwise another worker, which believed this one dead, has
    it, or had it.
    """
    counted = (Shard.id == claim.id, Shard.epoch >= claim.epoch, Shard.attempts > 0)
    less = update(Shard).where(*counted, Shard.state.in_(("running", "pending")))
    if not changed(session, less.values(attempts=Shard.attempts - 1)):
        return False
    note_attempt(session, claim.id, claim.epoch, AWAY, counted=False)
    known = (ShardAttempt.shard_id == claim.id, ShardAttempt.epoch == claim.epoch)
    changed(session, update(ShardAttempt).where(*known).values(counted=False))
    changed(session, _OWN.values(_PENDING), _token(claim))
    return True


def reclaim(session: Session, shard_id: int, worker: str, reason: str = DIED) -> bool:
    """Requeues, counted, a shard whose worker is known to be dead, before its lease is over; False if it moved on."""
    held = held_by(session, shard_id, worker)
    if held is not None:
        requeue(session, held, reason)
    return held is not None


def fail(session: Session, claim: Claim, reason: str) -> None:
    """Fails the shard and its media for good; `reason` is shown to users. Raises as `heartbeat`."""
    update_own(session, claim, {"state": "failed", "error": reason})
    _note(session, claim, reason)
    fail_media(session, claim, reason)


def _fail_exhausted(session: Session, claim: Claim, reason: str | None) -> None:
    message = f"tried {claim.attempts} times, without success: {reason or DIED}"
    changed(session, update(Shard).where(Shard.id == claim.id).values(error=message))
    fail_media(session, claim, message)


def _note(session: Session, claim: Claim, reason: str | None, *, counted: bool = True) -> None:
    note_attempt(session, claim.id, claim.epoch, reason or DIED, counted=counted)


def _isolate_first(session: Session, claim: Claim) -> Claim:
    """Leaves a shard of pictures its first one alone, and makes a shard of each of the others.

    Two attempts died on one of them, and which one is unknown; in the third it fails alone.
    """
    positions = [medium.position for medium in media_of(session, claim)]
    if len(positions) < 2:
        return claim
    first, *others = positions
    update_own(session, claim, {"first_position": first, "last_position": first, "planned_frames": 1})
    same = {"job_id": claim.job_id, "attempts": claim.attempts - 1, "planned_frames": 1}
    session.execute(insert(Shard), [{**same, "first_position": n, "last_position": n} for n in others])
    return replace(claim, first_position=first, last_position=first, planned_frames=1)


def _update_fenced(session: Session, claim: Claim, statement: Update, values: Mapping[str, Any]) -> None:
    if changed(session, statement, {**_token(claim), **values}) == 0:
        state = session.scalar(select(Shard.state).where(Shard.id == claim.id))
        raise JobCancelledError if state == "cancelled" else ShardLostError


def _token(claim: Claim) -> dict[str, Any]:
    return {"own_id": claim.id, "own_epoch": claim.epoch}


# Statements of every shard are built once: building one takes SQLAlchemy longer than the database needs to answer.
_OPTIONS = select(Job.options).where(Job.id == Shard.job_id).correlate(Shard).scalar_subquery()
_COLUMNS = [_OPTIONS if each.name == "options" else getattr(Shard, each.name) for each in fields(Claim)]
_SHARDS = Shard.metadata.tables["shards"]

LEASE_START = ago(bindparam("lease_s", type_=Double))
EXPIRED = and_(_SHARDS.c.state == "running", _SHARDS.c.heartbeat_at < LEASE_START)
_IS_OF_KIND = Job.kind == func.coalesce(bindparam("of_kind", type_=Text), Job.kind)
_FREE = and_(
    Shard.id == bindparam("claimed"),
    or_(Shard.state == "pending", EXPIRED),
    exists().where(Job.id == Shard.job_id, Job.state.in_(UNFINISHED), _IS_OF_KIND),
)
_JOB_STATE = select(Job.state).where(Job.id == Shard.job_id).correlate(Shard).scalar_subquery()
# A stream's next attempt appends to the rows that are there; any other one replaces them.
_APPENDS = exists().where(Job.id == Shard.job_id, Job.kind == "stream")
_COUNTS = {name: case((_APPENDS, _SHARDS.c[name]), else_=0) for name in ("frames", "faces")}
_PENDING: dict[str, Any] = {"state": "pending", "queued_at": None, **_COUNTS}
_STARTS = {"state": "running", "heartbeat_at": now, "last_worker": Shard.worker, **_COUNTS}
# Set by each claim for the next one. Here `attempts` is the number of deaths before this claim.
_PAUSES: list[Any] = [(Shard.attempts == k, literal_column(f"-{2.0 ** (k + 1)}")) for k in range(5)]
_WAIT = case(*_PAUSES, else_=literal_column(f"-{LONGEST_PAUSE_S}"))
_NEXT = case((_APPENDS, ago(_WAIT)), else_=Shard.not_before)
_MAY_TRY = or_(Shard.attempts < MAX_ATTEMPTS, _APPENDS)
_RESTED = or_(~_APPENDS, Shard.not_before.is_(None), Shard.not_before <= now)
_CLAIM = (
    update(_SHARDS)
    .where(_FREE, _MAY_TRY, _RESTED)
    .values(**_STARTS, not_before=_NEXT, epoch=Shard.epoch + 1, attempts=Shard.attempts + 1)
    .returning(*_COLUMNS, _JOB_STATE)
)
_EXHAUST = (
    update(_SHARDS)
    .where(_FREE, ~_MAY_TRY)
    .values(state="failed", epoch=Shard.epoch + 1, last_worker=Shard.worker)
    .returning(*_COLUMNS, Shard.error)
)
_OWN = update(_SHARDS).where(
    Shard.id == bindparam("own_id"), Shard.epoch == bindparam("own_epoch"), Shard.state == "running"
)
_OWN_ALIVE = _OWN.values(heartbeat_at=now)
