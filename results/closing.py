"""Closing a job: check that no shard is left, fill its tracks, set its state."""

from collections.abc import Mapping

from sqlalchemy import case, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS, dominant, means
from results.jobs import UNFINISHED, changed, utc_now
from results.tables import Face, Job, Media, Shard, Track


def shards_left(session: Session, job_id: str) -> int:
    """How many shards are pending or running.

    Call it in a new transaction after the one that ended a shard: two concurrent transactions do not see each other.
    """
    unfinished = Shard.state.in_(("pending", "running"))
    return session.scalars(select(func.count()).where(Shard.job_id == job_id, unfinished)).one()


def ready_to_close(session: Session, job_id: str) -> bool:
    """Whether the job is planned, unfinished, and has no shard left.

    If so, the job is locked until this transaction ends: stitch its tracks and close it here. False too while another
    worker holds the lock; waiting for it would block this one for nothing.
    """
    lock = select(Job.state).where(Job.id == job_id).with_for_update(key_share=True, skip_locked=True)
    if session.scalar(lock) not in UNFINISHED or shards_left(session, job_id):
        return False
    # A job whose files all failed at planning has media only, a training run a shard only.
    planned = or_(exists().where(Media.job_id == job_id), exists().where(Shard.job_id == job_id))
    return bool(session.scalar(select(planned)))


def relabel_tracks(session: Session, shard_id: int, labels: Mapping[int, int]) -> None:
    """Renames track ids of one shard, old to new, in one step, so that swaps work; also in the shard's seam.

    Each shard numbers its tracks from 0; stitching gives a person one id throughout a medium. It may be repeated
    after a retry, because a shard and an id together identify a track.
    """
    if not labels:
        return
    renamed = update(Face).where(Face.shard_id == shard_id, Face.track_id.in_(labels))
    changed(session, renamed.values(track_id=case(labels, value=Face.track_id)))
    if seam := session.scalar(select(Shard.seam).where(Shard.id == shard_id)):
        rows = [[frame, labels.get(int(track), track), *box] for frame, track, *box in seam]
        changed(session, update(Shard).where(Shard.id == shard_id).values(seam=rows))


def close_job(session: Session, job_id: str) -> bool:
    """Fills `tracks` from `faces` and ends the job; False, without a change, if it is not ready to close.

    The job is `failed` if every medium failed, otherwise `done`; its `error` counts the failures. A job without media
    takes the state and the error of its one shard. Idempotent.
    """
    if not ready_to_close(session, job_id):
        return False
    _fill_tracks(session, job_id)
    state, error = _outcome(session, job_id)
    now = utc_now(session)
    ended = {
        "state": state,
        "error": error,
        "finished_at": now,
        "started_at": func.coalesce(Job.started_at, now),
    }
    return changed(session, update(Job).where(Job.id == job_id).values(ended)) == 1


def _fill_tracks(session: Session, job_id: str) -> None:
    media = select(Media.id).where(Media.job_id == job_id)
    changed(session, delete(Track).where(Track.media_id.in_(media)))
    seen = (
        select(
            Face.media_id,
            Face.track_id,
            func.min(Face.time_ms).label("first_ms"),
            func.max(Face.time_ms).label("last_ms"),
            func.count().label("observations"),
            *means(Face.__table__.c),
        )
        .where(Face.media_id.in_(media), Face.track_id.is_not(None))
        .group_by(Face.media_id, Face.track_id)
        .subquery()
    )
    rows = select(*seen.c, dominant([seen.c[name] for name in EMOTIONS]).label("emotion"))
    session.execute(insert(Track).from_select([*seen.c.keys(), "emotion"], rows))


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
