"""Streams: added, found, stopped and started. A stream is a job without an end, whose one shard is its lease."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from results.errors import NameTakenError, UnknownStreamError
from results.hours import close_tracks, newest_hour
from results.jobs import cancel_job, changed, create_job, retry_job, utc_now
from results.stream_tables import Stream, StreamEvent, StreamLogin
from results.tables import Job, Shard

QUEUE = "stream"
LOGIN_IN_URI = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Login:
    """The login of a stream's source; the password is in no `repr`."""

    username: str
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is processed, as it is stored in `jobs.options`.

    `fps` is the number of frames a second to look at, None for all. `retention_ms` is how long its hours are kept, None
    for FER_RETENTION_DAYS. The others are as in `workers.batch.planning.BatchOptions`.
    """

    fps: float | None = None
    policy: Literal["realtime", "everything"] = "realtime"
    retention_ms: int | None = None
    detection_threshold: float = 0.4
    keep_member_scores: bool = False
    keep_crops: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `jobs.options`."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From `jobs.options`, which a later version may have given more keys."""
        return cls(**{each.name: stored[each.name] for each in fields(cls) if each.name in stored})


def add_stream(session: Session, name: str, uri: str, login: Login | None, options: StreamOptions) -> Job:
    """Adds a stream, which a worker of the queue `stream` takes up.

    Raises:
        NameTakenError: there is a stream of this name.
        ValueError: `uri` holds a login, which would be shown.
    """
    if LOGIN_IN_URI.match(uri):
        raise ValueError("the address of a stream is stored without its login")
    try:
        with session.begin_nested():
            job, _ = create_job(session, kind="stream", name=name, options=options.as_dict(), queue=QUEUE)
            session.add(Stream(job_id=job.id, name=name, uri=uri, updated_at=job.created_at))
    except IntegrityError as error:
        raise NameTakenError(
            f"There is a stream '{name}' already; choose another name, or run `fer-batch stream remove {name}` first."
        ) from error
    if login is not None:
        session.add(StreamLogin(job_id=job.id, username=login.username, password=login.password))
    session.execute(insert(Shard).values(job_id=job.id, first_position=0, last_position=0, planned_frames=0))
    return job


def get_stream(session: Session, name: str) -> Stream:
    """The stream of this name. Raises `UnknownStreamError` if there is none."""
    found = session.scalar(select(Stream).where(Stream.name == name))
    if found is None:
        raise UnknownStreamError(f"There is no stream '{name}'; `fer-batch stream list` names those that there are.")
    return found


def stop_stream(session: Session, name: str) -> bool:
    """Stops the stream: its worker's next write is refused. False if it was stopped already.

    Tracks that its worker had not ended yet get their rows here. Raises `UnknownStreamError`.
    """
    job_id = get_stream(session, name).job_id
    if not cancel_job(session, job_id):
        return False
    close_tracks(session, job_id)
    moment = utc_now(session)
    if (media_id := newest_hour(session, job_id)) is not None:
        session.add(StreamEvent(media_id=media_id, at=moment, kind="stopped", detail="The stream was stopped."))
    stopped = update(Stream).where(Stream.job_id == job_id)
    changed(session, stopped.values(state="stopped", updated_at=moment))
    return True


def end_job(session: Session, job: Job) -> bool:
    """Cancels a job; a stream is stopped. False if it had ended already."""
    return stop_stream(session, str(job.name)) if job.kind == "stream" else cancel_job(session, job.id)


def start_stream(session: Session, name: str) -> bool:
    """Has a stopped stream taken up again, after what it has recorded; False if it is on.

    Raises as `stop_stream`, and `RecordingError` for a recording of a webcam.
    """
    job_id = get_stream(session, name).job_id
    if not retry_job(session, job_id):
        return False
    waiting = update(Stream).where(Stream.job_id == job_id)
    changed(session, waiting.values(state="waiting", updated_at=utc_now(session)))
    return True
