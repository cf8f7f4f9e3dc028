"""Synthetic rows, to measure how fast a database takes them."""

from typing import Any

from sqlalchemy import Engine as Database

from fer_model.types import EMOTIONS
from results import leases, shards
from results.database import writing
from results.jobs import create_job, shard_of
from results.plans import MediaPlan, ShardPlan, add_plan

FRAME_MS = 40


def claimed(database: Database, frames: int) -> leases.Claim:
    """A new job of one video in one shard, and the claim to it."""
    medium = MediaPlan("bench.mp4", "video", width=640, height=360, fps=25.0, frame_count=frames)
    plan = ShardPlan(0, 0, planned_frames=frames, video=True, start_ms=0)
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={})
        add_plan(session, job.id, [medium], [plan])
        shard_id = shard_of(session, job.id)
    with writing(database) as session:
        claim = leases.claim(session, shard_id, "bench")
    assert claim is not None
    return claim


def rows(claim: leases.Claim, frames: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of `frames` frames, and of one face in each."""
    places = [{"media_id": claim.media_id, "frame_index": n, "time_ms": n * FRAME_MS} for n in range(frames)]
    face: dict[str, Any] = {
        "face_index": 0,
        "track_id": 0,
        "x1": 100.5,
        "y1": 50.25,
        "x2": 300.5,
        "y2": 290.75,
        "quality": 0.7,
    }
    face |= {"detection_score": 0.9, "emotion": EMOTIONS[0], "confidence": 1 / 7, **dict.fromkeys(EMOTIONS, 1 / 7)}
    return [{**place, "faces": 1} for place in places], [{**place, **face} for place in places]


def write(database: Database, frames: int) -> int:
    """Writes the rows of a shard, from the claim to the commit; returns their number."""
    claim = claimed(database, frames)
    found = rows(claim, frames)
    with writing(database) as session:
        shards.complete(session, claim, *found)
    return sum(map(len, found))
