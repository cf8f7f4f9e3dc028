"""Smoothing gives exactly the mean of each window, whatever the times, the tracks and the filter."""

import re
from collections.abc import Callable
from functools import partial
from time import sleep
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import event, func, literal, select, text

from results.database import connect, reading, upgrade, writing
from results.emotions import EMOTIONS
from results.errors import UnknownJobError
from results.jobs import delete_job
from results.plans import MediaPlan, ShardPlan
from results.read import pieces, timelines
from results.read.face_filter import UNITS, FaceFilter, filtered_faces
from results.read.parts import Part
from results.read.timelines import By, timeline
from results.shards import complete
from results.tables import Face
from tests.support.rows import face, frame, new_job, take

VIDEOS, FRAMES, STEP_MS = 2, 120, 40
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


@pytest.mark.parametrize("by", ["media", "track"])
def test_a_job_in_pieces_has_the_same_timeline(database: Database, monkeypatch: pytest.MonkeyPatch, by: By) -> None:
    job = mixed(database)
    smooth = FaceFilter(smooth_s=1.0)
    with reading(database) as session:
        monkeypatch.setattr(timelines, "LEAST_DIVIDED_MS", 100)
        whole = list(timeline(session, job, bucket_ms=100, by=by, face_filter=smooth))
        monkeypatch.setattr(pieces, "FACES", 30)
        positions = [piece.positions for piece in pieces.pieces_of(session, Part(job))]
        assert positions == [(0, 1), (1, 2), (2, 5), (5, pieces.END)], "no video is divided"
        found = list(timeline(session, job, bucket_ms=100, by=by, face_filter=smooth))
    # Which of a bucket's faces PostgreSQL adds up first depends on its plan.
    rounded = [
        [{k: round(v, 9) if isinstance(v, float) else v for k, v in row.items()} for row in each]
        for each in (found, whole)
    ]
    assert rounded[0] == rounded[1]
    assert len({row["media_id"] for row in whole}) == (6 if by == "media" else 4)


def test_a_reader_may_take_longer_than_a_transaction_may_idle(
    postgresql: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(url := postgresql())
    # Long enough for the first statements on a busy machine.
    database = connect(url, locks_s=4)
    job = mixed(database)
    monkeypatch.setattr(pieces, "FACES", 30)
    with reading(database) as session:
        rows = timeline(session, job, face_filter=FaceFilter(smooth_s=1.0))
        first = next(rows)
        sleep(4.5)
        assert {row["media_id"] for row in (first, *rows)} == set(range(1, 7))
        assert session.scalar(select(literal(1))) == 1
    database.dispose()


def test_a_job_that_is_deleted_while_it_is_read_does_not_end_silently(
    postgresql: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(url := postgresql())
    database = connect(url)
    job = mixed(database)
    monkeypatch.setattr(pieces, "FACES", 30)
    with reading(database) as session:
        rows = timeline(session, job, face_filter=FaceFilter(smooth_s=1.0))
        assert next(rows)["media_id"] == 1
        with writing(database) as other:
            assert delete_job(other, job)
        with pytest.raises(UnknownJobError, match=f"{job} was deleted while it was read"):
            list(rows)
    database.dispose()


def test_what_still_runs_when_a_reader_stops_is_cancelled(postgresql: Callable[[], str]) -> None:
    """Else it would wait for an hour."""
    database = connect(postgresql())
    with reading(database) as session:
        rows = pieces.rows_of(session, [select(literal(1)), *[select(func.pg_sleep(3600))] * 3])
        assert len(next(rows)) == 1
        rows.close()
        running = (
            select(func.count()).select_from(text("pg_stat_activity")).where(text("query LIKE 'SELECT pg_sleep%'"))
        )
        assert session.scalar(running.where(text("state = 'active'"))) == 0
    database.dispose()


def mixed(database: Database) -> str:
    """A job of four videos in two segments each, and between them two pictures, one of which was tried again."""
    media = [MediaPlan(f"{n}", "image" if n in (2, 3) else "video") for n in range(6)]
    plans = [ShardPlan(n, n, 20, video=True, start_ms=at) for n in (0, 1, 4, 5) for at in (0, 800)]
    with writing(database) as session:
        job = new_job(session, media, [*plans, ShardPlan(2, 3, 2), ShardPlan(3, 3, 1)])
        for number, plan in enumerate(plans, 1):
            begin = (plan.start_ms or 0) // STEP_MS
            places = [(plan.first_position + 1, n, n * STEP_MS) for n in range(begin, begin + 20)]
            faces = [
                face(*place, track_id=place[1] % 3, happy=place[1] / 40, sad=1 - place[1] / 40) for place in places
            ]
            complete(session, take(session, number), [frame(*place, 1) for place in places], faces)
        complete(session, take(session, 9), [frame(3, 0, 0, 1)], [face(3, 0, 0, happy=1.0)])
        complete(session, take(session, 10), [frame(4, 0, 0, 1)], [face(4, 0, 0, sad=1.0)])
    return job


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
