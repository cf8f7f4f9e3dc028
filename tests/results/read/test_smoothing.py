"""Smoothing gives exactly the mean of each window, whatever the times, the tracks and the filter."""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import event, select

from results.database import reading, writing
from results.emotions import EMOTIONS
from results.plans import MediaPlan, ShardPlan
from results.read.face_filter import UNITS, FaceFilter, filtered_faces
from results.read.parts import Part
from results.read.timelines import timeline
from results.shards import complete
from results.tables import Face
from tests.support.rows import face, frame, new_job, take

VIDEOS, FRAMES = 2, 120
TRACKS = (0, 1, 7, None)


def scattered(database: Database, seed: int) -> str:
    """A job of videos whose frames have irregular times; each track is in some of the frames."""
    rng = np.random.default_rng(seed)
    with writing(database) as session:
        media = [MediaPlan(f"{n}.mp4", "video") for n in range(VIDEOS)]
        job = new_job(session, media, [ShardPlan(n, n, FRAMES, video=True) for n in range(VIDEOS)])
        for medium in range(1, VIDEOS + 1):
            times = np.cumsum(rng.choice([1, 33, 40, 41, 900], FRAMES)).tolist()
            seen = [[track for track in TRACKS if rng.random() < 0.6] for _ in times]
            frames = [frame(medium, n, at, len(seen[n])) for n, at in enumerate(times)]
            faces = [
                face(medium, n, at, place, track_id=track, **dict(zip(EMOTIONS, rng.dirichlet([0.3] * 7), strict=True)))
                | {"quality": rng.random()}
                for n, at in enumerate(times)
                for place, track in enumerate(seen[n])
            ]
            complete(session, take(session, medium), frames, faces)
    return job


def expected(rows: list[tuple[int, int | None, int, list[float]]], half_ms: int) -> list[list[float]]:
    """The smoothed probabilities of each row of medium, track, time and probabilities."""
    found = []
    for medium, track, at, own in rows:
        near = [p for m, t, other, p in rows if (m, t) == (medium, track) and abs(other - at) <= half_ms]
        totals = np.rint(np.array(near) * UNITS).astype(np.int64).sum(axis=0)
        found.append(own if track is None else [int(total) / (len(near) * UNITS) for total in totals])
    return found


@pytest.mark.parametrize(
    ("seed", "smooth_s", "quality"), [(1, 0.08, 0.0), (2, 1.0, 0.0), (3, 1.0, 0.4), (4, 60.0, 0.2)]
)
def test_each_face_gets_the_mean_of_its_window(database: Database, seed: int, smooth_s: float, quality: float) -> None:
    job = scattered(database, seed)
    smoothed = filtered_faces(Part(job), FaceFilter(min_quality=quality, smooth_s=smooth_s)).c
    with reading(database) as session:
        columns = (Face.media_id, Face.track_id, Face.time_ms, *(getattr(Face, name) for name in EMOTIONS))
        stored = session.execute(
            select(*columns).where(Face.quality >= quality).order_by(Face.media_id, Face.frame_index, Face.face_index)
        ).all()
        keys = (smoothed.media_id, smoothed.frame_index, smoothed.face_index)
        found = session.execute(select(*(smoothed[name] for name in EMOTIONS)).order_by(*keys)).all()
    rows = [(medium, track, at, list(own)) for medium, track, at, *own in stored]
    assert len(found) > 200 and [list(row) for row in found] == expected(rows, round(smooth_s * 500))


def test_the_faces_are_passed_over_once(database: Database) -> None:
    """All means share one window: on PostgreSQL each further one would be a pass of its own."""
    job = scattered(database, 5)
    sent: list[tuple[str, Any]] = []
    note = partial(_note, sent)
    event.listen(database, "before_cursor_execute", note)
    with reading(database) as session:
        assert list(timeline(session, job, by="track", face_filter=FaceFilter(smooth_s=1.0)))
    event.remove(database, "before_cursor_execute", note)
    statement, values = sent[-1]
    frames = set(re.findall(r"RANGE BETWEEN (.+?) PRECEDING AND (.+?) FOLLOWING", statement))
    assert frames == {("500", "500")}
    if database.dialect.name == "postgresql":
        with database.connect() as connection:
            plan = "\n".join(line for (line,) in connection.exec_driver_sql(f"EXPLAIN {statement}", values))
        assert plan.count("WindowAgg") == 1, plan


def _note(
    sent: list[tuple[str, Any]], connection: object, cursor: object, statement: str, values: Any, *_: Any
) -> None:
    sent.append((statement, values))
