"""Shards: claiming one, keeping it, writing what it found, giving it up.

A worker that claims a shard gets its `epoch`. Whoever claims it later gets a higher one, and from then on
nothing that the earlier worker wants to write is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import Any

from sqlalchemy import (
    Double,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from results.backlog import LEASE_S as LEASE_S
from results.bulk import insert_rows
from results.clock import ago, now
from results.closing import close_job as close_job
from results.closing import ready_to_close as ready_to_close
from results.closing import relabel_tracks as relabel_tracks
from results.errors import JobCancelledError, ShardLostError
from results.jobs import UNFINISHED, changed, start_job
from results.plans import ShardPlan, add_segments
from results.tables import Face, FaceScore, Frame, Job, Media, Shard

MAX_ATTEMPTS = 3
DIED = "the worker process died"


@dataclass(frozen=True, slots=True)
class Claim:
    """A shard that is ours while its row still has this `epoch`; the rest is as in `models.Shard`."""

    id: int
    epoch: int
    job_id: str
    media_id: int | None
    first_position: int
    last_position: int
    start_ms: int | None
    end_ms: int | None
    start_frame: int
    planned_frames: int
    attempts: int

    @property
    def is_unplanned_video(self) -> bool:
        """Whether it is a whole video that nobody has looked into yet; see `split`."""
        return self.media_id is not None and self.start_ms is None


def claim(session: Session, shard_id: int, worker: str, *, lease_s: float = LEASE_S) -> Claim | None:
    """Takes the shard for `worker` if it is pending, or if its worker has not been heard of for `lease_s`.

    None if it is finished, cancelled or another's. A shard that was tried `MAX_ATTEMPTS` times becomes
    `failed` instead, and gives None too; so after None, as after a completed shard, look at how the job stands
    (`standing`). In the last attempt the pictures of a shard are taken one by one.
    """
    place = {"claimed": shard_id, "lease_s": lease_s}
    row = session.execute(_CLAIM, place | {"worker": worker}).one_or_none()
    if row is None:
        if (dead := session.execute(_EXHAUSTED, place).one_or_none()) is not None:
            *columns, error = dead
            _close_failed(session, Claim(*columns), error or DIED)
        return None
    *columns, state = row
    found = Claim(*columns)
    if state == "queued":
        start_job(session, found.job_id)
    return _alone(session, found) if found.attempts == MAX_ATTEMPTS else found


def _alone(session: Session, claim: Claim) -> Claim:
    """Leaves a shard of pictures its first one alone, and makes a shard of each of the others.

    Twice something has gone wrong with one of them, and nobody knows with which; the third time it is to fail alone.
    """
    positions = [medium.position for medium in media_of(session, claim)]
    if len(positions) < 2:
        return claim
    first, *others = positions
    update_own(session, claim, {"first_position": first, "last_position": first, "planned_frames": 1})
    same = {"job_id": claim.job_id, "attempts": claim.attempts - 1, "planned_frames": 1}
    session.execute(insert(Shard), [{**same, "first_position": n, "last_position": n} for n in others])
    return replace(claim, first_position=first, last_position=first, planned_frames=1)


def heartbeat(session: Session, claim: Claim, frames: int, faces: int) -> None:
    """Says that the worker lives, and how many frames and faces it has processed.

    Raises:
        JobCancelledError: the work is no longer wanted.
        ShardLostError: another worker has the shard, or it was deleted.
    """
    _update_own(session, claim, _OWN_ALIVE, {"frames": frames, "faces": faces})


def complete(
    session: Session,
    claim: Claim,
    frames: Sequence[Mapping[str, Any]],
    faces: Sequence[Mapping[str, Any]],
    media_updates: Sequence[Mapping[str, Any]] = (),
    *,
    scores: Sequence[Mapping[str, Any]] = (),
    ensemble_id: int | None = None,
    seam: Sequence[Sequence[float]] | None = None,
) -> None:
    """Writes all that a shard found and marks it done, in the caller's one transaction.

    `frames` and `faces` are rows keyed by column; `shard_id` is filled in here. `media_updates` are for the shard's
    pictures, all of them, keyed `id` and any of `state` (else it is done), `error`, `width`, `height`; without them
    all pictures are done.
    `scores` are rows of `face_scores`, `ensemble_id` is what made all of them. `seam` is as in `models.Shard`.

    Raises:
        JobCancelledError, ShardLostError: as `heartbeat`; nothing is written.
    """
    values = {"state": "done", "error": None, "frames": len(frames), "faces": len(faces), "ensemble_id": ensemble_id}
    _update_own(session, claim, _OWN_ALIVE, values | {"seam": seam})
    for table, rows in ((Frame, frames), (Face, faces)):
        # Whoever claims a shard first finds no rows of it.
        if claim.epoch > 1:
            changed(session, delete(table).where(table.shard_id == claim.id))
        insert_rows(session, table, rows, shard_id=claim.id)
    # Those of an earlier attempt went with its faces.
    insert_rows(session, FaceScore, scores)
    if claim.media_id is not None:
        _settle_video(session, claim.media_id)
    elif media_updates:
        _settle_pictures(session, media_updates)
    else:
        changed(session, _SETTLE_PICTURES, _place(claim) | {"state": "done"})


def split(session: Session, claim: Claim, medium: Mapping[str, Any], segments: Sequence[ShardPlan]) -> Claim:
    """Makes a shard that was a whole video its first segment, and adds the others; gives the claim to the first.

    `medium` is what was learned about the video, keyed as the columns of `media`. Raises as `heartbeat`.
    """
    first = segments[0]
    values = {name: getattr(first, name) for name in ("start_ms", "end_ms", "start_frame", "planned_frames")}
    update_own(session, claim, values)
    changed(session, update(Media).where(Media.id == claim.media_id).values(dict(medium)))
    place = {"job_id": claim.job_id, "media_id": claim.media_id, "first_position": claim.first_position}
    add_segments(session, place | {"last_position": claim.last_position}, segments[1:])
    return replace(claim, **values)


def fail(session: Session, claim: Claim, reason: str) -> None:
    """Gives the shard up for good, with a reason a person understands; raises as `heartbeat`."""
    update_own(session, claim, {"state": "failed", "error": reason})
    _fail_media(session, claim, reason)


def give_back(session: Session, claim: Claim, reason: str) -> bool:
    """Has the shard tried again, after what may have been bad luck; the third time it fails, for this reason.

    True if it will be tried again. Raises as `heartbeat`.
    """
    if claim.attempts < MAX_ATTEMPTS:
        update_own(session, claim, {"state": "pending", "error": reason, "queued_at": None, "frames": 0, "faces": 0})
        return True
    update_own(session, claim, {"state": "failed"})
    _close_failed(session, claim, reason)
    return False


def release(session: Session, claim: Claim) -> None:
    """Gives the shard back untried, for a worker that is being stopped; raises as `heartbeat`."""
    values = {"state": "pending", "attempts": claim.attempts - 1, "queued_at": None, "frames": 0, "faces": 0}
    update_own(session, claim, values)


def held_by(session: Session, shard_id: int, worker: str) -> Claim | None:
    """The claim of a worker that cannot speak for itself any more; None if it does not hold the shard."""
    held = (Shard.id == shard_id, Shard.worker == worker, Shard.state == "running")
    row = session.execute(select(*_COLUMNS).where(*held)).one_or_none()
    return None if row is None else Claim(*row)


def media_of(session: Session, claim: Claim) -> Sequence[Media]:
    """The media that the shard is to process, by position."""
    statement = _MEDIA_OF_PICTURES if claim.media_id is None else _MEDIUM_OF_VIDEO
    return session.scalars(statement, _place(claim)).all()


def update_own(session: Session, claim: Claim, values: Mapping[str, Any]) -> None:
    """Changes the shard's row while it is still ours; raises as `heartbeat`. Every write of a worker begins so."""
    _update_own(session, claim, _OWN.values(dict(values)), {})


def _update_own(session: Session, claim: Claim, statement: Update, values: dict[str, Any]) -> None:
    if changed(session, statement, {"own_id": claim.id, "own_epoch": claim.epoch, **values}) == 0:
        state = session.scalar(select(Shard.state).where(Shard.id == claim.id))
        raise JobCancelledError if state == "cancelled" else ShardLostError


def _place(claim: Claim) -> dict[str, Any]:
    if claim.media_id is not None:
        return {"of_video": claim.media_id}
    return {"of_job": claim.job_id, "first": claim.first_position, "last": claim.last_position}


def _settle_pictures(session: Session, updates: Sequence[Mapping[str, Any]]) -> None:
    rows = [{"state": "done", "medium_id": row["id"], **row} for row in updates]
    for row in rows:
        del row["id"]
    # One statement for all that say the same of a picture.
    for _, alike in groupby(sorted(rows, key=sorted), key=sorted):
        session.execute(_SETTLE_PICTURE, list(alike))


def _close_failed(session: Session, claim: Claim, reason: str) -> None:
    said = f"tried {claim.attempts} times, without success: {reason}"
    changed(session, update(Shard).where(Shard.id == claim.id).values(error=said))
    _fail_media(session, claim, said)


def _fail_media(session: Session, claim: Claim, reason: str) -> None:
    if claim.media_id is None:
        changed(session, _SETTLE_PICTURES, _place(claim) | {"state": "failed", "error": reason})
    else:
        end = "the end" if claim.end_ms is None else f"{claim.end_ms / 1000:g} s"
        piece = "" if claim.start_ms is None else f"{claim.start_ms / 1000:g} s to {end}: "
        where = reason if not claim.start_ms and claim.end_ms is None else piece + reason
        video = update(Media).where(Media.id == claim.media_id)
        changed(session, video.values(error=func.coalesce(Media.error, where)))
        _settle_video(session, claim.media_id)


def _settle_video(session: Session, media_id: int) -> None:
    # Two last shards may end at once. The lock makes one wait, and the count after it then sees the other.
    # A stronger lock would deadlock with the key locks that inserting faces took.
    session.execute(_LOCK_VIDEO, {"of_video": media_id})
    left, done = session.execute(_COUNT_OF_VIDEO, {"of_video": media_id}).one()
    if left == 0:
        state = "done" if done else "failed"
        changed(session, update(Media).where(Media.id == media_id).values(state=state))


# What is asked at each shard is put together once: SQLAlchemy takes longer to do so than the database to answer.
_COLUMNS = [getattr(Shard, each.name) for each in fields(Claim)]
_SHARDS, _MEDIA = Shard.metadata.tables["shards"], Media.metadata.tables["media"]

_EXPIRED = and_(Shard.state == "running", Shard.heartbeat_at < ago(bindparam("lease_s", type_=Double)))
_FREE = and_(
    Shard.id == bindparam("claimed"),
    or_(Shard.state == "pending", _EXPIRED),
    exists().where(Job.id == Shard.job_id, Job.state.in_(UNFINISHED)),
)
_JOB_STATE = select(Job.state).where(Job.id == Shard.job_id).correlate(Shard).scalar_subquery()
_CLAIM = (
    update(_SHARDS)
    .where(_FREE, Shard.attempts < MAX_ATTEMPTS)
    .values(state="running", heartbeat_at=now, frames=0, faces=0, epoch=Shard.epoch + 1, attempts=Shard.attempts + 1)
    .returning(*_COLUMNS, _JOB_STATE)
)
_EXHAUSTED = (
    update(_SHARDS).where(_FREE).values(state="failed", epoch=Shard.epoch + 1).returning(*_COLUMNS, Shard.error)
)
_OWN = update(_SHARDS).where(
    Shard.id == bindparam("own_id"), Shard.epoch == bindparam("own_epoch"), Shard.state == "running"
)
_OWN_ALIVE = _OWN.values(heartbeat_at=now)

_COVERED_VIDEO = Media.id == bindparam("of_video")
# A picture that could not be read at planning time is not pending, and not part of the work.
_COVERED_PICTURES = and_(
    Media.job_id == bindparam("of_job"),
    Media.position.between(bindparam("first"), bindparam("last")),
    Media.kind == "image",
    Media.state == "pending",
)
_MEDIUM_OF_VIDEO = select(Media).where(_COVERED_VIDEO)
_MEDIA_OF_PICTURES = select(Media).where(_COVERED_PICTURES).order_by(Media.position)
_SETTLE_PICTURES = update(_MEDIA).where(_COVERED_PICTURES)
_SETTLE_PICTURE = update(_MEDIA).where(Media.id == bindparam("medium_id"))
_LOCK_VIDEO = select(Media.id).where(_COVERED_VIDEO).with_for_update(key_share=True)
_COUNT_OF_VIDEO = select(
    func.count().filter(Shard.state.in_(("pending", "running"))), func.count().filter(Shard.state == "done")
).where(Shard.media_id == bindparam("of_video"))
