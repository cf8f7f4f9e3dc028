"""Jobs: create, find, cancel, retry and delete."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    CursorResult,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from results.columns import UtcDateTime
from results.errors import RecordingError, UnknownJobError
from results.stream_tables import WEBCAM, Stream
from results.tables import PRIORITY, Job, Media, Notification, Shard, new_job_id

UNFINISHED = ("queued", "running")

MOST_PRESSING = 200


def utc_now(session: Session) -> datetime:
    """The time by the clock that all workers share: PostgreSQL's, or on SQLite this machine's."""
    if session.get_bind().dialect.name == "postgresql":
        return session.scalars(select(func.clock_timestamp(type_=UtcDateTime))).one()
    return datetime.now(UTC)


def create_job(
    session: Session,
    *,
    kind: str,
    name: str | None,
    options: dict[str, Any],
    queue: str = "batch",
    priority: int = PRIORITY,
    request_token: str | None = None,
) -> tuple[Job, bool]:
    """A queued job, and True if it is new. Idempotent by `request_token`: a known token gives its job, and False.

    Safe when two processes use the same token at once. `kind` is one of `tables.JOB_KINDS`; the job's shards are sent
    to `queue` with `priority`, 0 to 9, higher first.
    """
    if (job := job_of_token(session, request_token)) is not None:
        return job, False
    moment = utc_now(session)
    place = {"queue": queue, "priority": priority, "request_token": request_token}
    job = Job(id=new_job_id(moment), created_at=moment, kind=kind, name=name, options=options, **place)
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError:
        if (winner := job_of_token(session, request_token)) is None:
            raise
        return winner, False
    return job, True


def start_job(session: Session, job_id: str) -> bool:
    """Marks a queued job as running since now; False if it was not queued."""
    now = utc_now(session)
    statement = update(Job).where(Job.id == job_id, Job.state == "queued")
    return changed(session, statement.values(state="running", started_at=now)) == 1


def cancel_job(session: Session, job_id: str) -> bool:
    """Cancels the unfinished part of the job; False if the job itself had finished already.

    Running shards are cancelled too: their worker's next heartbeat raises `JobCancelledError`, and its writes are
    refused.
    """
    # Always lock in the order shards, job, media; other orders deadlock on PostgreSQL.
    open_shards = update(Shard).where(Shard.job_id == job_id, Shard.state.in_(("pending", "running")))
    # Twice: the first may wait for a worker that splits a video, and does not see the shards that it adds.
    for _ in range(2):
        changed(session, open_shards.values(state="cancelled"))
    statement = update(Job).where(Job.id == job_id, Job.state.in_(UNFINISHED))
    was_unfinished = changed(session, statement.values(state="cancelled", finished_at=utc_now(session))) == 1
    open_media = update(Media).where(Media.job_id == job_id, Media.state == "pending")
    changed(session, open_media.values(state="cancelled"))
    return was_unfinished


def retry_job(session: Session, job_id: str) -> int:
    """Makes failed and cancelled shards pending again, and nothing else; returns how many. A stream goes on.

    A picture that failed in a shard that is done, and a file that could not be read at planning, get a new shard. The
    job is reopened. A file of which nothing was analysed is taken as it is now: a video is planned again, in one shard.

    Raises:
        RecordingError: it is a recording of a webcam.
    """
    if session.scalar(select(Stream.uri).where(Stream.job_id == job_id)) == WEBCAM:
        raise RecordingError
    # Before its shards, of which it changes none that others hold: two retries would each add shards for the same
    # failed files, and one while the job is being closed would change media that the closing changes.
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update(key_share=True))
    _forget_plans(session, job_id)
    # A picture that has a shard of its own does not get another one with each retry.
    alone = and_(Shard.media_id.is_(None), Shard.first_position == Shard.last_position, Shard.state == "done")
    is_failed = exists().where(
        Media.job_id == job_id, Media.kind == "image", Media.state == "failed", Media.position == Shard.first_position
    )
    unfinished = or_(Shard.state.in_(("failed", "cancelled")), and_(alone, is_failed))
    again = update(Shard).where(Shard.job_id == job_id, unfinished)
    values = {
        "state": "pending",
        "attempts": 0,
        "error": None,
        "queued_at": None,
        "not_before": None,
        "missing_since": None,
    }
    count = changed(session, again.values({**values, **_counts()})) + _add_shards_for_failed(session, job_id)
    if count:
        undone = or_(Media.kind != "image", Media.state != "done")
        redo = update(Media).where(Media.job_id == job_id, Media.id.in_(_waiting(job_id)), undone)
        begun = exists().where(Shard.media_id == Media.id, Shard.state == "done")
        # A file of which nothing was analysed may have been mended since.
        changed(session, redo.where(not_(begun)).values(size=None, modified=None, etag=None, note=None))
        changed(session, redo.values(state="pending", error=Media.note, closing=None))
    # A job whose closing failed, or was cancelled, has no shard to do.
    unclosed = or_(and_(Job.state == "failed", Job.closing_attempts > 0), Job.state == "cancelled")
    reopened = {"finished_at": None, "error": None, "closing_attempts": 0, "closing_at": None, **_begun(job_id)}
    if changed(session, update(Job).where(Job.id == job_id, or_(literal(count > 0), unclosed)).values(reopened)):
        # It will end once more.
        unsent = {"sent_at": None, "due_at": None, "attempts": 0, "error": None}
        changed(session, update(Notification).where(Notification.job_id == job_id).values(unsent))
    return count


def _begun(job_id: str) -> dict[str, Any]:
    """State and start of a job that is opened again; its next claim starts one of which nothing is done."""
    is_begun = exists().where(Shard.job_id == job_id, or_(Shard.state.in_(("running", "done")), Shard.frames > 0))
    state = case((is_begun, "running"), else_="queued")
    return {"state": state, "started_at": case((is_begun, Job.started_at), else_=null())}


def _forget_plans(session: Session, job_id: str) -> None:
    """Leaves one shard, which is not planned, of each video of which all shards failed or were cancelled."""
    of_job = (Shard.job_id == job_id, Shard.media_id.is_not(None))
    ended = func.count().filter(Shard.state.in_(("failed", "cancelled")))
    unseen = select(Shard.media_id).where(*of_job).group_by(Shard.media_id).having(func.count() == ended)
    first = select(func.min(Shard.id)).where(*of_job).group_by(Shard.media_id)
    changed(session, delete(Shard).where(*of_job, Shard.media_id.in_(unseen), Shard.id.not_in(first)))
    unplanned = {"start_ms": None, "end_ms": None, "start_frame": 0, "planned_frames": 0, "seam": None}
    changed(session, update(Shard).where(*of_job, Shard.media_id.in_(unseen)).values(unplanned))


def _add_shards_for_failed(session: Session, job_id: str) -> int:
    failed = select(Media.id, Media.position, Media.kind).where(Media.job_id == job_id, Media.state == "failed")
    # Of `NOT IN` PostgreSQL may go through all that wait for each that failed.
    waiting = set(session.scalars(_waiting(job_id)))
    alone = [medium for medium in session.execute(failed.order_by(Media.position)) if medium.id not in waiting]
    rows = [
        {
            "job_id": job_id,
            "media_id": None if medium.kind == "image" else medium.id,
            "first_position": medium.position,
            "last_position": medium.position,
            "planned_frames": int(medium.kind == "image"),
        }
        for medium in alone
    ]
    if rows:
        _plan_less(session, job_id, [medium.position for medium in alone if medium.kind == "image"])
        session.execute(insert(Shard), rows)
    return len(rows)


def _plan_less(session: Session, job_id: str, positions: Sequence[int]) -> None:
    """Takes pictures, which get shards of their own, from the planned frames of the shards that they were in.

    `positions` are theirs, ascending.
    """
    done = select(Shard.id, Shard.planned_frames, Shard.first_position, Shard.last_position).where(
        Shard.job_id == job_id, Shard.media_id.is_(None), Shard.state == "done"
    )
    less = [
        {"id": shard_id, "planned_frames": planned - covered}
        for shard_id, planned, first, last in session.execute(done)
        if (covered := bisect_right(positions, last) - bisect_left(positions, first))
    ]
    if less:
        session.execute(update(Shard), less)


def get_job(session: Session, reference: str) -> Job:
    """The job whose id is `reference`, or the stream of that name, or whose id begins or ends with it if only one does.

    Raises:
        UnknownJobError: none does, or several do.
    """
    stream = select(Job).join(Stream, Stream.job_id == Job.id).where(Stream.name == reference)
    if (job := session.get(Job, reference) or session.scalar(stream)) is not None:
        return job
    matches = or_(Job.id.startswith(reference, autoescape=True), Job.id.endswith(reference, autoescape=True))
    found = session.scalars(select(Job).where(matches).limit(2)).all() if reference else []
    if len(found) > 1:
        raise UnknownJobError(f"Several jobs match '{reference}'; type more of the id.")
    if not found:
        raise UnknownJobError(f"There is no job '{reference}'.")
    return found[0]


def shard_of(session: Session, job_id: str) -> int:
    """The id of a job's only shard."""
    return session.scalars(select(Shard.id).where(Shard.job_id == job_id)).one()


def job_of_shard(session: Session, shard_id: int) -> Job | None:
    """The job that a shard belongs to; None if it was deleted."""
    return session.scalar(select(Job).join(Shard, Shard.job_id == Job.id).where(Shard.id == shard_id))


def options_of(session: Session, job_id: str) -> dict[str, Any]:
    """The options of the job; raises `sqlalchemy.exc.NoResultFound` if it was deleted."""
    return session.execute(_OPTIONS, {"job": job_id}).scalar_one()


def list_jobs(session: Session, *, kind: str | None = None, limit: int | None = None) -> Sequence[Job]:
    """The jobs, newest first, at most `limit` of them; with `kind` only those of that kind."""
    statement = select(Job).order_by(Job.id.desc()).limit(limit)
    return session.scalars(statement.where(Job.kind == kind) if kind else statement).all()


def pressing_jobs(session: Session, least: int) -> tuple[Sequence[Job], int]:
    """Unfinished jobs, at most `MOST_PRESSING`, then others until there are `least`; and how many there are in all.

    Those that run come first, then those that wait; of each the newest first.
    """
    is_open = Job.state.in_(UNFINISHED)
    total, unfinished = session.execute(select(func.count(), func.count().filter(is_open)).select_from(Job)).one()
    place = case((Job.state == "running", 0), (is_open, 1), else_=2)
    statement = select(Job).order_by(place, Job.id.desc()).limit(max(least, min(unfinished, MOST_PRESSING)))
    return session.scalars(statement).all(), total


def newest_job(session: Session, *, kind: str | None = None) -> Job:
    """The newest job, or with `kind` the newest of that kind. Raises `UnknownJobError` if there is none."""
    found = list_jobs(session, kind=kind, limit=1)
    if not found:
        raise UnknownJobError(f"There is no {'training run' if kind == 'train' else 'job'} yet.")
    return found[0]


def adopt_jobs(session: Session, prefix: str, queue: str, silent_s: float) -> Sequence[str]:
    """Moves unfinished jobs of queues whose name begins with `prefix` to `queue`; returns their ids.

    For jobs of a `fer-batch run` that was killed: no other worker serves its queue. Jobs with a heartbeat in the last
    `silent_s` seconds stay, and so do newer ones.
    """
    since = utc_now(session) - timedelta(seconds=silent_s)
    alive = exists().where(Shard.job_id == Job.id, Shard.heartbeat_at > since)
    orphans = (Job.queue.startswith(prefix, autoescape=True), Job.state.in_(UNFINISHED), Job.created_at < since)
    statement = update(Job).where(*orphans, not_(alive)).values(queue=queue).returning(Job.id)
    return session.scalars(statement, execution_options={"synchronize_session": False}).all()


def delete_job(session: Session, job_id: str) -> bool:
    """Deletes the job with all its rows; False if there was none."""
    cancel_job(session, job_id)
    return changed(session, delete(Job).where(Job.id == job_id)) == 1


def _counts() -> dict[str, Any]:
    # A stream's rows stay, and more are appended.
    is_stream = exists().where(Job.id == Shard.job_id, Job.kind == "stream")
    return {column.name: case((is_stream, column), else_=0) for column in (Shard.frames, Shard.faces)}


def _waiting(job_id: str) -> CompoundSelect[Any]:
    """The ids of the media that pending shards of the job cover.

    Shards of pictures are joined by their ranges, which the index of positions serves: a test of each medium against
    each shard would take minutes for a job of 50,000 pictures.
    """
    pending = (Shard.job_id == job_id, Shard.state == "pending")
    videos = select(Shard.media_id).where(*pending, Shard.media_id.is_not(None))
    pictures = select(Media.id).where(Media.job_id == job_id, Media.kind == "image", _COVERS)
    return union_all(videos, pictures.where(*pending, Shard.media_id.is_(None)).correlate(None))


def changed(session: Session, statement: Any, values: dict[str, Any] | None = None) -> int:
    """Executes an UPDATE or DELETE without synchronising loaded objects; returns the number of rows changed."""
    result = session.execute(statement, values, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)
    return result.rowcount


def job_of_token(session: Session, request_token: str | None) -> Job | None:
    """The job created with this token; None if there is none, or no token."""
    if request_token is None:
        return None
    return session.scalar(select(Job).where(Job.request_token == request_token))


_COVERS = Media.position.between(Shard.first_position, Shard.last_position)
_OPTIONS = select(Job.options).where(Job.id == bindparam("job"))
