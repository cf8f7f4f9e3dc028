"""The plan of a job: its media, and the shards that cover them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from results.bulk import portions
from results.tables import Media, Shard

CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """One medium: its URI and query, what probing found, and the error if it is not readable.

    The fields are those of `tables.Media`.
    """

    uri: str
    kind: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    duration_ms: int | None = None
    frame_count: int | None = None
    ordered: bool | None = None
    state: str = "pending"
    error: str | None = None
    size: int | None = None
    modified: float | None = None
    etag: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The media from `first_position` to `last_position` (both included), or [start_ms, end_ms) of one video.

    Positions count the plan's media from 0. `planned_frames` is the number of frames to process, `start_frame` the
    index of the first of them. A video without `start_ms` is probed and split by the worker that claims it.
    """

    first_position: int
    last_position: int
    planned_frames: int
    video: bool = False
    start_ms: int | None = None
    end_ms: int | None = None
    start_frame: int = 0


def add_plan(session: Session, job_id: str, media: Sequence[MediaPlan], shards: Sequence[ShardPlan]) -> None:
    """Writes the whole plan of a job that has none, in the caller's one transaction."""
    positions = count()
    for chunk in portions(media, CHUNK):
        session.execute(insert(Media), [_medium(job_id, next(positions), item) for item in chunk])
    media_ids = _media_ids(session, job_id)
    for some in portions(shards, CHUNK):
        session.execute(insert(Shard), [_row(job_id, item, media_ids) for item in some])


def add_segments(session: Session, place: Mapping[str, object], segments: Sequence[ShardPlan]) -> None:
    """Adds segments to a planned video; `place` are the columns of `shards` that identify it."""
    if segments:
        session.execute(insert(Shard), [{**_values(segment), **place} for segment in segments])


def _medium(job_id: str, position: int, plan: MediaPlan) -> dict[str, object]:
    note = plan.error if plan.state == "pending" else None
    return asdict(plan) | {"job_id": job_id, "position": position, "note": note}


def _media_ids(session: Session, job_id: str) -> dict[int, int]:
    videos = select(Media.position, Media.id).where(Media.job_id == job_id, Media.kind != "image")
    return {row.position: row.id for row in session.execute(videos)}


def _row(job_id: str, plan: ShardPlan, media_ids: dict[int, int]) -> dict[str, object]:
    media_id = media_ids[plan.first_position] if plan.video else None
    return _values(plan) | {"job_id": job_id, "media_id": media_id}


def _values(plan: ShardPlan) -> dict[str, object]:
    return {name: value for name, value in asdict(plan).items() if name != "video"}
