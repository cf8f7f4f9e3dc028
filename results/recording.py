"""What a stream's worker does in the database: take the stream up, find its hour, append to it.

Each function begins with the fence and raises as `leases.heartbeat`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, delete, func, insert, select, update
from sqlalchemy.orm import Session

from results.bulk import insert_rows
from results.errors import ShardLostError
from results.hours import begin_of, close_tracks, hour_of
from results.jobs import changed, utc_now
from results.leases import Claim, heartbeat, requeue
from results.shards import Rows, append
from results.stream_tables import Stream, StreamEvent, StreamLogin
from results.streams import Login, StreamOptions
from results.tables import Frame, Media, Shard, Track

COUNTS = ("skipped_stale", "skipped_decode", "skipped_overload", "reconnects")
"""Columns of `streams` that go on counting over take-overs."""

Event = tuple[int, datetime, str, str]
"""A row of `stream_events`: `media_id`, `at`, `kind`, `detail`."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A stream as its next worker finds it: `appends` and `next_track_id` go on from there."""

    name: str
    uri: str
    login: Login | None
    options: StreamOptions
    next_track_id: int
    appends: int
    has_rows: bool


@dataclass(frozen=True, slots=True)
class Hour:
    """One medium of a stream: its beginning, and the index that its next frame gets."""

    media_id: int
    started_at: datetime
    next_frame_index: int


def resume(session: Session, claim: Claim) -> Resumed:
    """Takes up a stream, in the transaction of its claim.

    Tracks that an earlier worker left open get their rows. The event `taken_over` is recorded if another worker had
    the stream, and it was not stopped since.
    """
    heartbeat(session, claim)
    stream = session.get_one(Stream, claim.job_id)
    login = session.get(StreamLogin, claim.job_id)
    has_rows = session.scalar(select(Media.id).where(Media.job_id == claim.job_id).limit(1)) is not None
    if has_rows:
        close_tracks(session, claim.job_id)
        _note_takeover(session, claim)
    connecting = update(Stream).where(Stream.job_id == claim.job_id)
    changed(session, connecting.values(state="connecting", updated_at=utc_now(session)))
    return Resumed(
        name=stream.name,
        uri=stream.uri,
        login=None if login is None else Login(login.username, login.password),
        options=StreamOptions.of(claim.options),
        next_track_id=stream.next_track_id,
        appends=stream.appends,
        has_rows=has_rows,
    )


def hour(session: Session, claim: Claim, at: datetime) -> Hour:
    """The medium of the UTC hour in which `at` lies; it is made if there is none."""
    heartbeat(session, claim)
    position = hour_of(at)
    # The fence holds the shard's row until the transaction ends, so no other adds the same hour.
    known = select(Media.id).where(Media.job_id == claim.job_id, Media.position == position)
    media_id = session.scalar(known) or _new_hour(session, claim, position)
    last = session.scalar(select(func.max(Frame.frame_index)).where(Frame.media_id == media_id))
    return Hour(media_id, begin_of(position), 0 if last is None else last + 1)


def append_stream(
    session: Session,
    claim: Claim,
    n: int,
    *,
    frames: Rows,
    faces: Rows,
    next_track_id: int,
    scores: Rows = (),
    tracks: Rows = (),
    events: Sequence[Event] = (),
    figures: Mapping[str, Any] | None = None,
    sizes: Mapping[int, tuple[int, int]] | None = None,
    ensemble_id: int | None = None,
) -> bool:
    """The fenced append number `n`, from 0 (`Resumed.appends`); False if it had been committed already.

    So an append whose acknowledgement was lost is repeated as it was. `frames`, `faces`, `scores` and `ensemble_id` are
    as in `shards.append`. `tracks` are rows of `tracks` of this stream, which replace earlier ones. `figures` are
    columns of `streams`; those of `COUNTS` are counts since the last append. `sizes` are width and height by medium. An
    append without frames is no progress: it does not restart the count of deaths.

    Raises:
        ShardLostError, JobCancelledError: as `leases.heartbeat`; nothing is written.
        ValueError: `n` is neither the next append nor the last one.
    """
    # Statements of their own: one that waited for a lock does not see what was committed meanwhile in other tables.
    heartbeat(session, claim)
    if not _count_append(session, claim, n, {"next_track_id": next_track_id, **(figures or {})}):
        return False
    if frames:
        append(session, claim, frames, faces, scores=scores, ensemble_id=ensemble_id)
        _measure_hours(session, frames)
    if tracks:
        places = [{"of_media": row["media_id"], "of_track": row["track_id"]} for row in tracks]
        session.execute(_DELETE_TRACK, places)
        insert_rows(session, Track, tracks)
    _insert_events(session, events)
    for media_id, (width, height) in (sizes or {}).items():
        changed(session, update(Media).where(Media.id == media_id).values(width=width, height=height))
    return True


def release(session: Session, claim: Claim) -> None:
    """Gives the stream back, uncounted, for another worker."""
    requeue(session, claim, counted=False)
    waiting = update(Stream).where(Stream.job_id == claim.job_id)
    changed(session, waiting.values(state="waiting", updated_at=utc_now(session)))


def _count_append(session: Session, claim: Claim, n: int, values: Mapping[str, Any]) -> bool:
    """Raises the counter from `n`, by compare-and-set; False if it is there already."""
    mine = update(Stream).where(Stream.job_id == claim.job_id, Stream.appends == n)
    added = {name: getattr(Stream, name) + values[name] for name in COUNTS if name in values}
    if changed(session, mine.values({"appends": n + 1, "updated_at": utc_now(session), **values, **added})):
        return True
    found = session.scalar(select(Stream.appends).where(Stream.job_id == claim.job_id))
    if found is None:
        raise ShardLostError
    if found != n + 1:
        raise ValueError(f"append {n} of {claim.job_id}, of which {found} are committed")
    return False


def _note_takeover(session: Session, claim: Claim) -> None:
    worker, before = session.execute(select(Shard.worker, Shard.last_worker).where(Shard.id == claim.id)).one()
    newest = select(StreamEvent.kind).join(Media, Media.id == StreamEvent.media_id).where(Media.job_id == claim.job_id)
    kind = session.scalar(newest.order_by(StreamEvent.id.desc()).limit(1))
    if before in (None, worker) or kind == "stopped":
        return
    moment = utc_now(session)
    place = hour(session, claim, moment)
    _insert_events(session, [(place.media_id, moment, "taken_over", f"{worker} took the stream over from {before}.")])


def _new_hour(session: Session, claim: Claim, position: int) -> int:
    uri = session.get_one(Stream, claim.job_id).uri
    # What an hour has is complete at any time, so it is done from the beginning.
    values = {"kind": "stream", "state": "done", "uri": uri, "started_at": begin_of(position)}
    row = insert(Media).values(job_id=claim.job_id, position=position, **values).returning(Media.id)
    return session.execute(row).scalar_one()


def _insert_events(session: Session, events: Iterable[Event]) -> None:
    keys = ("media_id", "at", "kind", "detail")
    if rows := [dict(zip(keys, event, strict=True)) for event in events]:
        session.execute(insert(StreamEvent), rows)


def _measure_hours(session: Session, frames: Rows) -> None:
    """Adds to the count of frames of each hour, and to its length up to the end of the last one."""
    for media_id in sorted({row["media_id"] for row in frames}):
        times = [row["time_ms"] for row in frames if row["media_id"] == media_id]
        session.execute(_MEASURE, {"of_media": media_id, "more": len(times), "end_ms": max(times) + 1})


# Built once, as the statements of every shard.
_TRACKS, _MEDIA = Track.metadata.tables["tracks"], Media.metadata.tables["media"]
_DELETE_TRACK = delete(_TRACKS).where(
    _TRACKS.c.media_id == bindparam("of_media"), _TRACKS.c.track_id == bindparam("of_track")
)
_END_MS = bindparam("end_ms", type_=_MEDIA.c.duration_ms.type)
_LENGTH = case((_MEDIA.c.duration_ms >= _END_MS, _MEDIA.c.duration_ms), else_=_END_MS)
_COUNT = func.coalesce(_MEDIA.c.frame_count, 0) + bindparam("more")
_MEASURE = update(_MEDIA).where(_MEDIA.c.id == bindparam("of_media")).values(frame_count=_COUNT, duration_ms=_LENGTH)
