"""Timelines: the mean probabilities of a job's faces per bucket of time."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
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

from results.emotions import EMOTIONS, dominant, means
from results.errors import TimelineError
from results.read.face_filter import FaceFilter, filtered_faces, media_ids
from results.tables import Frame, Media

By = Literal["media", "track", "job"]
COLUMNS = ("start_ms", "media_id", "uri", "track_id", "frames", "faces", *EMOTIONS, "emotion", "face_share")
"""The keys of a row, in order."""

MAX_BUCKET_MS = 7 * 24 * 3600 * 1000
EVERYTHING = FaceFilter()


def timeline(
    session: Session,
    job_id: str,
    *,
    bucket_ms: int = 1000,
    by: By = "media",
    face_filter: FaceFilter = EVERYTHING,
    media_id: int | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per bucket of `bucket_ms` milliseconds, and per medium, per track, or for the job as a whole.

    With `media_id` only that medium. Faces that `face_filter` leaves out count as not detected.

    Keys: `start_ms`, `media_id`, `uri`, `track_id`, `frames` (processed), `faces`, the mean of each
    probability by name, `emotion` (the dominant one) and `face_share` (frames with a face, or with this
    track, as a share of `frames`, 0..1). Keys that do not apply are None; so are the means of a bucket without a
    face. Rows are sorted by medium, then track, then time, and are fetched lazily.

    Raises:
        TimelineError: `bucket_ms` is not between 1 ms and a week, or `by` is none of the three.
    """
    if not 1 <= bucket_ms <= MAX_BUCKET_MS:
        raise TimelineError(f"A bucket lasts between 1 ms and 7 days, not {bucket_ms} ms.")
    if by not in get_args(By):
        raise TimelineError(f"A timeline is by media, track or job, not by '{by}'.")
    statement = _statement(job_id, bucket_ms, by, face_filter, media_id)
    rows = session.execute(statement, execution_options={"yield_per": 1000})
    return (dict(row) for row in rows.mappings())


def _statement(job_id: str, bucket_ms: int, by: By, face_filter: FaceFilter, media_id: int | None) -> Select[Any]:
    looked = _looked(job_id, bucket_ms, by, media_id)
    felt = _felt(filtered_faces(job_id, face_filter, media_id), bucket_ms, by, face_filter.leaves_out)
    same = [felt.c[key] == looked.c[key] for key in ("media_id", "start_ms") if key in looked.c]
    # A track has rows only where it was seen; a medium has one for each bucket with processed frames.
    source = looked.join(felt, and_(*same), isouter=by != "track")
    statement = select(*_columns(looked, felt, by)).select_from(source)
    if by == "job":
        return statement.order_by(looked.c.start_ms)
    order = [Media.position, looked.c.start_ms] if by == "media" else [Media.position, felt.c.track_id]
    return statement.join(Media, Media.id == looked.c.media_id).order_by(*order, looked.c.start_ms)


def _columns(looked: Subquery, felt: Subquery, by: By) -> list[ColumnElement[Any]]:
    shown = [felt.c[name] for name in EMOTIONS]
    # The table `frames` has the number of all faces; with a filter the remaining ones are counted.
    counted = "frames" in felt.c
    in_frames = cast(func.coalesce(felt.c.frames, 0), Double) / looked.c.frames if counted else looked.c.face_share
    return [
        looked.c.start_ms,
        (null() if by == "job" else looked.c.media_id).label("media_id"),
        (null() if by == "job" else Media.uri).label("uri"),
        (felt.c.track_id if by == "track" else null()).label("track_id"),
        looked.c.frames,
        func.coalesce(felt.c.faces, 0).label("faces"),
        *shown,
        dominant(shown).label("emotion"),
        in_frames.label("face_share"),
    ]


def _looked(job_id: str, bucket_ms: int, by: By, media_id: int | None) -> Subquery:
    keys = [bucket_start(Frame.time_ms, bucket_ms)] + ([] if by == "job" else [Frame.media_id.label("media_id")])
    face_share = cast(func.avg(case((Frame.faces > 0, 1), else_=0)), Double)
    columns = [*keys, func.count().label("frames"), face_share.label("face_share")]
    wanted = Frame.media_id.in_(media_ids(job_id)) if media_id is None else Frame.media_id == media_id
    return select(*columns).where(wanted).group_by(*keys).subquery("looked")


def _felt(chosen: Subquery, bucket_ms: int, by: By, some_left_out: bool) -> Subquery:
    faces = chosen.c
    keys = [bucket_start(faces.time_ms, bucket_ms)] + ([] if by == "job" else [faces.media_id])
    keys += [faces.track_id] if by == "track" else []
    # A track is in a frame at most once; frames of two media may have the same index.
    frame = cast(faces.media_id, BigInteger) * 2**32 + faces.frame_index if by == "job" else faces.frame_index
    frames = func.count() if by == "track" else func.count(distinct(frame))
    counted = [func.count().label("faces")]
    counted += [frames.label("frames")] if by == "track" or some_left_out else []
    statement = select(*keys, *counted, *means(faces))
    if by == "track":
        statement = statement.where(faces.track_id.is_not(None))
    return statement.group_by(*keys).subquery("felt")


def bucket_start(time_ms: Any, bucket_ms: int) -> Any:
    """The beginning of the bucket that a moment lies in, in ms, as an expression to group by."""
    # A literal: PostgreSQL treats two parameters as two different expressions and then cannot group by them.
    # It needs its type, or `//` would not compile to integer division.
    bucket: ColumnElement[int] = literal_column(str(int(bucket_ms)), BigInteger)
    return (time_ms // bucket * bucket).label("start_ms")
