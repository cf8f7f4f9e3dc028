"""Small jobs and rows for tests of the database."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from results.backlog import mark_queued
from results.emotions import EMOTIONS
from results.jobs import create_job, shard_of
from results.leases import Claim, claim
from results.plans import MediaPlan, ShardPlan, add_plan
from results.streams import StreamOptions, add_stream
from results.tables import Shard

FOUR_PICTURES = [MediaPlan(uri=f"{name}.jpg", kind="image") for name in "abcd"]
TWO_PICTURES_EACH = [ShardPlan(0, 1, planned_frames=2), ShardPlan(2, 3, planned_frames=2)]
ONE_VIDEO = [MediaPlan(uri="film.mp4", kind="video", width=64, height=48, fps=10.0, duration_ms=3000)]
THREE_SECONDS = [
    ShardPlan(0, 0, 10, video=True, start_ms=s * 1000, end_ms=s * 1000 + 1000, start_frame=s * 10) for s in range(3)
]


def new_job(session: Session, media: list[MediaPlan], shards: list[ShardPlan]) -> str:
    """A planned batch job's id."""
    job, _ = create_job(session, kind="batch", name="test", options={"fps": 2})
    add_plan(session, job.id, media, shards)
    return job.id


def take(session: Session, shard_id: int, worker: str = "w1") -> Claim:
    """Claims a shard; the claim must succeed."""
    taken = claim(session, shard_id, worker)
    assert taken is not None
    return taken


def frame(media_id: int, index: int, time_ms: int, faces: int) -> dict[str, Any]:
    """A row of `frames`."""
    return {"media_id": media_id, "frame_index": index, "time_ms": time_ms, "faces": faces}


def face(
    media_id: int, index: int, time_ms: int, face_index: int = 0, track_id: int | None = None, **scores: float
) -> dict[str, Any]:
    """A row of `faces`; probabilities that are not named are 0."""
    probabilities = dict.fromkeys(EMOTIONS, 0.0) | scores
    emotion = max(EMOTIONS, key=lambda name: probabilities[name])
    box = {"x1": 1.0, "y1": 2.0, "x2": 3.5, "y2": 4.5, "detection_score": 0.9, "quality": 0.5}
    keys = {"media_id": media_id, "frame_index": index, "time_ms": time_ms, "face_index": face_index}
    label = {"emotion": emotion, "confidence": probabilities[emotion], "track_id": track_id}
    return keys | box | label | probabilities


def pending_to_queue(session: Session, job_id: str) -> list[int]:
    """Marks the shards of a job that need a message as queued; their ids."""
    return [each.shard_id for each in mark_queued(session, job_id)]


def silence(session: Session, shard_id: int, seconds: float = 3600) -> None:
    """Sets the age of the shard's last heartbeat, in seconds; a pause that it has to make is over."""
    past = datetime.now(UTC) - timedelta(seconds=seconds)
    session.execute(update(Shard).where(Shard.id == shard_id).values(heartbeat_at=past, not_before=None))


def new_stream(session: Session, name: str = "lobby", **options: Any) -> str:
    """A stream's job id."""
    return add_stream(session, name, "rtsp://camera/lobby", None, StreamOptions(**options)).id


def take_stream(session: Session, job_id: str, worker: str = "w1") -> Claim:
    """Claims a stream; the claim must succeed."""
    taken = claim(session, shard_of(session, job_id), worker, lease_s=12)
    assert taken is not None
    return taken


def track(media_id: int, track_id: int, first_ms: int, last_ms: int, observations: int, **scores: float) -> Any:
    """A row of `tracks`; means that are not named are 0."""
    probabilities = dict.fromkeys(EMOTIONS, 0.0) | scores
    emotion = max(EMOTIONS, key=lambda name: probabilities[name])
    seen = {"first_ms": first_ms, "last_ms": last_ms, "observations": observations, "emotion": emotion}
    return {"media_id": media_id, "track_id": track_id, **seen, **probabilities}
