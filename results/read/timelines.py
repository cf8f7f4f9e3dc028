"""Timelines: the mean probabilities of a job's faces per bucket of time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    RowMapping,
    Select,
    Subquery,
    and_,
    case,
    cast,
    distinct,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy.orm import Session

from results.emotions import AFFECT, EMOTIONS, affect, dominant, means
from results.errors import TimelineError, UnknownJobError
from results.read.face_filter import FaceFilter, filtered_faces
from results.read.parts import ALWAYS, Part, Period, frames_of, moment_ms, part_of
from results.read.pieces import pieces_of, rows_of
from results.stream_tables import Stream
from results.tables import Job, Media

By = Literal["media", "track", "job"]
COLUMNS = ("start_ms", "media_id", "uri", "track_id", "frames", "faces", *EMOTIONS, "emotion", "face_share", "at")
"""The keys of a row, in order."""

WITH_AFFECT = (*COLUMNS, *AFFECT)
"""Those of a row with affect."""

MAX_BUCKET_MS = 7 * 24 * 3600 * 1000
LEAST_DIVIDED_MS = 1000
"""Buckets of a job that is read in pieces last at least as long, so that the rows of a piece are few."""
EVERYTHING = FaceFilter()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timeline(
    session: Session,
    job_id: str,
    *,
    bucket_ms: int = 1000,
    by: By = "media",
    face_filter: FaceFilter = EVERYTHING,
    media_id: int | None = None,
    period: Period = ALWAYS,
    with_affect: bool = False,
) -> Iterator[dict[str, Any]]:
    """One row per bucket of `bucket_ms` milliseconds, and per medium, per track, or for the job as a whole.

    With `media_id` only that medium, with `period` only the buckets of a stream that begin in it or contain its
    beginning. Faces that `face_filter` leaves out count as not detected.

    Keys: `start_ms`, `media_id`, `uri`, `track_id`, `frames` (processed), `faces`, the mean of each
    probability by name, `emotion` (the dominant one), `face_share` (frames with a face, or with this
    track, as a share of `frames`, 0..1), and `at`, when the bucket begins (UTC), if that is known. Keys that do not
    apply are None; so are the means of a bucket without a face. `with_affect` adds `valence` and `arousal` (-1..1), the
    projection of the means that `emotions.affect` describes. Rows are sorted by medium, then track, then time. They are
    fetched lazily; those of a smoothed job of many media in pieces (see `pieces`), which ends the transaction.

    The hours of a stream are one series, whose `start_ms` counts from 1970 (UTC): buckets and tracks go on over the
    full hour, and `media_id` is None.

    Raises:
        TimelineError: `bucket_ms` is not between 1 ms and a week, `by` is none of the three, or as `parts.part_of`.
        UnknownJobError: the job was deleted while it was read in pieces.
    """
    if not 1 <= bucket_ms <= MAX_BUCKET_MS:
        raise TimelineError(f"A bucket lasts between 1 ms and 7 days, not {bucket_ms} ms.")
    if by not in get_args(By):
        raise TimelineError(f"A timeline is by media, track or job, not by '{by}'.")
    part = _from_a_bucket(part_of(session, job_id, media_id, period), bucket_ms)
    # Shorter buckets may have as many rows as there are faces, too many for the memory.
    is_small = bucket_ms >= LEAST_DIVIDED_MS
    is_divisible = is_small and face_filter.smooth_s > 0 and by != "job" and part.media_id is None and not part.absolute
    pieces = pieces_of(session, part) if is_divisible else [part]
    statements = [_statement(each, bucket_ms, by, face_filter, with_affect) for each in pieces]
    return map(_with_moment, _rows(session, job_id, statements))


def _rows(session: Session, job_id: str, statements: Sequence[Select[Any]]) -> Iterable[RowMapping]:
    if len(statements) > 1:
        return _rows_of_pieces(session, job_id, statements)
    return session.execute(statements[0], execution_options={"yield_per": 1000}).mappings()


def _rows_of_pieces(session: Session, job_id: str, statements: Sequence[Select[Any]]) -> Iterator[RowMapping]:
    yield from rows_of(session, statements)
    # Each piece is read from the database as it is then: a job that is deleted meanwhile would end early, silently.
    if session.scalar(select(Job.id).where(Job.id == job_id)) is None:
        raise UnknownJobError(f"Job {job_id} was deleted while it was read; what was written is not all of it.")


def _from_a_bucket(part: Part, bucket_ms: int) -> Part:
    """The part from the beginning of its first bucket on, which would be incomplete otherwise."""
    return part if part.since_ms is None else replace(part, since_ms=part.since_ms // bucket_ms * bucket_ms)


def _with_moment(row: RowMapping) -> dict[str, Any]:
    return dict(row) | {"at": None if row["at"] is None else EPOCH + timedelta(milliseconds=row["at"])}


def _statement(part: Part, bucket_ms: int, by: By, face_filter: FaceFilter, with_affect: bool) -> Select[Any]:
    keys = [] if by == "job" or part.absolute else ["media_id"]
    looked = _looked(frames_of(part), bucket_ms, keys)
    felt = _felt(filtered_faces(part, face_filter), bucket_ms, keys, by, face_filter.leaves_out)
    same = [felt.c[key] == looked.c[key] for key in ("start_ms", *keys)]
    # A track has rows only where it was seen; a medium has one for each bucket with processed frames.
    source = looked.join(felt, and_(*same), isouter=by != "track")
    more = affect([felt.c[name] for name in EMOTIONS]) if with_affect else []
    statement = select(*_columns(looked, felt, part, by), *more).select_from(source)
    track = [felt.c.track_id] if by == "track" else []
    if not keys:
        return statement.order_by(*track, looked.c.start_ms)
    ordered = statement.join(Media, Media.id == looked.c.media_id).order_by(Media.position, *track)
    return ordered.order_by(looked.c.start_ms)


def _columns(looked: Subquery, felt: Subquery, part: Part, by: By) -> list[ColumnElement[Any]]:
    shown = [felt.c[name] for name in EMOTIONS]
    # The table `frames` has the number of all faces; with a filter the remaining ones are counted.
    counted = "frames" in felt.c
    in_frames = cast(func.coalesce(felt.c.frames, 0), Double) / looked.c.frames if counted else looked.c.face_share
    has_media = "media_id" in looked.c
    of_stream = select(Stream.uri).where(Stream.job_id == part.job_id).scalar_subquery()
    uri = Media.uri if has_media else null() if by == "job" else of_stream
    return [
        looked.c.start_ms,
        (looked.c.media_id if has_media else null()).label("media_id"),
        uri.label("uri"),
        (felt.c.track_id if by == "track" else null()).label("track_id"),
        looked.c.frames,
        func.coalesce(felt.c.faces, 0).label("faces"),
        *shown,
        dominant(shown).label("emotion"),
        in_frames.label("face_share"),
        _moment(looked, part, has_media).label("at"),
    ]


def _moment(looked: Subquery, part: Part, has_media: bool) -> ColumnElement[Any]:
    """When a bucket begins, in milliseconds since 1970, or NULL."""
    if part.absolute:
        return looked.c.start_ms
    return case((Media.kind == "stream", moment_ms(looked.c.start_ms))) if has_media else null()


def _looked(frames: Subquery, bucket_ms: int, keys: Sequence[str]) -> Subquery:
    by = [bucket_start(frames.c.time_ms, bucket_ms), *(frames.c[key] for key in keys)]
    face_share = cast(func.avg(case((frames.c.faces > 0, 1), else_=0)), Double)
    columns = [*by, func.count().label("frames"), face_share.label("face_share")]
    return select(*columns).group_by(*by).subquery("looked")


def _felt(chosen: Subquery, bucket_ms: int, keys: Sequence[str], by: By, some_left_out: bool) -> Subquery:
    faces = chosen.c
    columns = [bucket_start(faces.time_ms, bucket_ms), *(faces[key] for key in keys)]
    columns += [faces.track_id] if by == "track" else []
    # A track is in a frame at most once; frames of two media may have the same index.
    frame = faces.frame_index if keys else cast(faces.media_id, BigInteger) * 2**32 + faces.frame_index
    frames = func.count() if by == "track" else func.count(distinct(frame))
    counted = [func.count().label("faces")]
    counted += [frames.label("frames")] if by == "track" or some_left_out else []
    statement = select(*columns, *counted, *means(faces))
    if by == "track":
        statement = statement.where(faces.track_id.is_not(None))
    return statement.group_by(*columns).subquery("felt")


def bucket_start(time_ms: Any, bucket_ms: int) -> Any:
    """The beginning of the bucket that a moment lies in, in ms, as an expression to group by."""
    # A literal: PostgreSQL treats two parameters as two different expressions and then cannot group by them.
    # It needs its type, or `//` would not compile to integer division.
    bucket: ColumnElement[int] = literal_column(str(int(bucket_ms)), BigInteger)
    return (time_ms // bucket * bucket).label("start_ms")
