"""Closing a job: check that no shard is left, fill its tracks, set its state."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from results.clock import ago, now
from results.emotions import EMOTIONS, dominant, means
from results.jobs import UNFINISHED, changed, utc_now
from results.labels import unclosed
from results.tables import Face, Job, Media, Shard, Track

MAX_CLOSINGS = 3
"""Attempts at closing a job, without progress in between, after which it fails."""

CLOSING_LEASE_S = 20.0
"""Seconds without a heartbeat after which the worker that closes a job counts as dead."""

CLOSING_DIED = "the worker process died, for lack of memory, or because it took too long"


def shards_left(session: Session, job_id: str) -> int:
    """How many shards are pending or running.

    Call it in a new transaction after the one that ended a shard: two concurrent transactions do not see each other.
    """
    unfinished = Shard.state.in_(("pending", "running"))
    return session.scalars(select(func.count()).where(Shard.job_id == job_id, unfinished)).one()


def ready_to_close(session: Session, job_id: str, *, waits: bool = False) -> bool:
    """Whether the job is planned, unfinished, and has no shard left.

    If so, the job is locked until this transaction ends: stitch its tracks and close it here. False too while another
    transaction holds the lock, unless this one `waits` for it, as the worker that closes the job does.
    """
    lock = select(Job.state).where(Job.id == job_id).with_for_update(key_share=True, skip_locked=not waits)
    if session.scalar(lock) not in UNFINISHED or shards_left(session, job_id):
        return False
    # A job whose files all failed at planning has media only, a training run a shard only.
    planned = or_(exists().where(Media.job_id == job_id), exists().where(Shard.job_id == job_id))
    return bool(session.scalar(select(planned)))


def begin_closing(session: Session, job_id: str) -> bool:
    """Counts an attempt at closing the job; False if it is not ready to close, or another worker is at it.

    False too if it used up its `MAX_CLOSINGS`. Then it fails: each attempt died without progress (`closing_went_on`).
    """
    if not ready_to_close(session, job_id):
        return False
    if session.scalar(select(Job.closing_at > ago(CLOSING_LEASE_S)).where(Job.id == job_id)):
        return False
    if closing_failed(session, job_id, CLOSING_DIED):
        return False
    _set(session, job_id, closing_attempts=Job.closing_attempts + 1, closing_at=now)
    return True


def closing_alive(session: Session, job_id: str) -> None:
    """The heartbeat of the worker that closes the job; reading the tracks of a long video takes minutes."""
    going_on = update(Job).where(Job.id == job_id, Job.closing_at.is_not(None), Job.state.in_(UNFINISHED))
    changed(session, going_on.values(closing_at=now))


def closing_left(session: Session, job_id: str) -> None:
    """Lets another worker close the job, if it is not closed yet."""
    changed(session, update(Job).where(Job.id == job_id, Job.closing_at.is_not(None)).values(closing_at=None))


def closing_went_on(session: Session, job_id: str) -> None:
    """Restarts the count of attempts."""
    _set(session, job_id, closing_attempts=1)


def closing_interrupted(session: Session, job_id: str) -> None:
    """Takes back the count of an attempt that ended because the database was away."""
    _set(session, job_id, closing_attempts=Job.closing_attempts - 1)


def closing_failed(session: Session, job_id: str, reason: str) -> bool:
    """Fails the job if it has used up its attempts at closing; its rows stay, and `retry_job` tries again."""
    error = f"the end of the job was tried {MAX_CLOSINGS} times, without success: {reason}; the rows are complete"
    exhausted = update(Job).where(Job.id == job_id, Job.state.in_(UNFINISHED), Job.closing_attempts >= MAX_CLOSINGS)
    ended = {"state": "failed", "error": error, "finished_at": utc_now(session)}
    return changed(session, exhausted.values(ended)) == 1


def fill_tracks(session: Session, media: Sequence[int]) -> None:
    """Fills `tracks` from `faces` for these videos, which are closed then."""
    changed(session, delete(Track).where(Track.media_id.in_(media)))
    insert_tracks(session, Face.media_id.in_(media))
    changed(session, update(Media).where(Media.id.in_(media)).values(closing="done"))


def insert_tracks(session: Session, which: ColumnElement[bool]) -> None:
    """Adds rows of `tracks` for those faces with a track that `which` chooses."""
    seen = (
        select(
            Face.media_id,
            Face.track_id,
            func.min(Face.time_ms).label("first_ms"),
            func.max(Face.time_ms).label("last_ms"),
            func.count().label("observations"),
            *means(Face.__table__.c),
        )
        .where(which, Face.track_id.is_not(None))
        .group_by(Face.media_id, Face.track_id)
        .subquery()
    )
    rows = select(*seen.c, dominant([seen.c[name] for name in EMOTIONS]).label("emotion"))
    session.execute(insert(Track).from_select([*seen.c.keys(), "emotion"], rows))


def close_job(session: Session, job_id: str) -> bool:
    """Fills what is missing of `tracks` and ends the job; False, without a change, if it is not ready to close.

    The job is `failed` if every medium failed, otherwise `done`; its `error` counts the failures. A job without media
    takes the state and the error of its one shard. Idempotent.
    """
    if not ready_to_close(session, job_id):
        return False
    while videos := unclosed(session, job_id, 500):
        fill_tracks(session, [video.media_id for video in videos])
    # Should the job be opened again, all is done again: that changes nothing where nothing new came.
    changed(session, update(Media).where(Media.job_id == job_id, Media.closing.is_not(None)).values(closing=None))
    state, error = _outcome(session, job_id)
    moment = utc_now(session)
    ended = {
        "state": state,
        "error": error,
        "finished_at": moment,
        "started_at": func.coalesce(Job.started_at, moment),
        "closing_at": None,
    }
    return changed(session, update(Job).where(Job.id == job_id).values(ended)) == 1


def _set(session: Session, job_id: str, **values: Any) -> None:
    changed(session, update(Job).where(Job.id == job_id).values(values))


def _outcome(session: Session, job_id: str) -> tuple[str, str | None]:
    count = func.count().filter
    if not session.scalar(select(exists().where(Media.job_id == job_id))):
        state, error = session.execute(select(Shard.state, Shard.error).where(Shard.job_id == job_id)).one()
        return state, error
    total, failed, partly = session.execute(
        select(
            func.count(),
            count(Media.state == "failed"),
            count(Media.state != "failed", Media.error.is_not(None)),
        ).where(Media.job_id == job_id)
    ).one()
    parts = [f"{failed} of {total} files failed"] if failed else []
    parts += [f"{partly} of {total} files are incomplete or have a note"] if partly else []
    return "failed" if failed == total else "done", "; ".join(parts) or None
