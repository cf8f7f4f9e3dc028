"""The end of a job: in short steps that may be interrupted anywhere, and of any size."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results import closing, labels
from results.closing import MAX_CLOSINGS
from results.database import connect, reading, writing
from results.errors import DatabaseUnreachableError
from results.jobs import get_job, retry_job
from results.plans import MediaPlan, ShardPlan
from results.seams import tracks_by_segment
from results.shards import complete
from results.tables import Face, Job, Media, Shard, Track, TrackLabel
from tests.support.rows import face, frame, new_job, take
from tests.support.watching import until
from workers.batch import finishing
from workers.batch.finishing import finish

SEGMENTS, VIDEOS = 3, 2
FACES = 4
"""In each frame, the same in each segment; each segment numbers them from 0, and the seam joins them backwards."""


@pytest.fixture
def job(database: Database) -> str:
    """Two videos of three segments of one frame each; every face is in all of them."""
    media = [MediaPlan(f"{n}.mp4", "video", fps=10.0, duration_ms=3000) for n in range(VIDEOS)]
    plans = [
        ShardPlan(n, n, 1, video=True, start_ms=s * 1000, end_ms=s * 1000 + 1000, start_frame=s * 10)
        for n in range(VIDEOS)
        for s in range(SEGMENTS)
    ]
    with writing(database) as session:
        job_id = new_job(session, media, plans)
        for shard in session.scalars(select(Shard).order_by(Shard.id)).all():
            work(database, session, shard)
    return job_id


def work(database: Database, session: Any, shard: Shard) -> None:
    assert shard.start_ms is not None and shard.media_id is not None
    here, ahead = shard.start_frame, shard.start_frame + 10
    # The detector lists the faces in the opposite order in every other segment, so that the labels swap.
    backwards = (shard.start_ms // 1000) % 2

    def place(n: int) -> float:
        return 100.0 * (FACES - 1 - n if backwards else n)

    rows = [
        face(shard.media_id, here, shard.start_ms, n, track_id=n, happy=0.5, sad=0.5)
        | {"x1": place(n), "x2": place(n) + 50, "y1": 0.0, "y2": 50.0}
        for n in range(FACES)
    ]
    seam = [[ahead, n, place(n), 0.0, place(n) + 50, 50.0] for n in range(FACES)]
    complete(session, take(session, shard.id), [frame(shard.media_id, here, shard.start_ms, FACES)], rows, seam=seam)


def check_joined(database: Database, job_id: str) -> None:
    """Each face has one id at one place through its whole video, and `tracks` has it."""
    with reading(database) as session:
        assert get_job(session, job_id).state == "done"
        by_place = select(func.count(Face.track_id.distinct())).group_by(Face.media_id, Face.x1)
        assert set(session.scalars(by_place)) == {1}
        assert session.scalars(select(func.count(Face.track_id.distinct())).group_by(Face.media_id)).all() == [4, 4]
        observations = session.execute(select(Track.media_id, Track.observations)).all()
        assert sorted(observations) == [(n + 1, SEGMENTS) for n in range(VIDEOS) for _ in range(FACES)]
        assert session.scalar(select(func.count()).select_from(TrackLabel)) == 0
        assert set(session.scalars(select(Media.closing))) == {None}


def test_the_tracks_of_each_video_are_joined(database: Database, job: str) -> None:
    finish(database, job)
    check_joined(database, job)


@pytest.mark.parametrize("step_faces", [1, FACES, 100_000])
def test_an_interruption_after_any_step_loses_nothing(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch, step_faces: int
) -> None:
    monkeypatch.setattr(labels, "STEP_FACES", step_faces)
    step: Callable[[Database, str], bool] = finishing._step
    interruptions = 0

    def interrupted(database: Database, job_id: str) -> bool:
        nonlocal interruptions
        if step(database, job_id):
            interruptions += 1
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(finishing, "_step", interrupted)
    for _ in range(100):
        try:
            finish(database, job)
        except KeyboardInterrupt:
            continue
        break
    # Each video is labelled, the labels are applied, and its tracks are filled.
    assert interruptions >= VIDEOS * 2 + 1
    check_joined(database, job)


def test_two_workers_close_one_job_step_by_step(database: Database, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "STEP_FACES", 1)
    step: Callable[[Database, str], bool] = finishing._step

    def both(database: Database, job_id: str) -> bool:
        goes_on = step(database, job_id)
        # Another worker gets in between.
        return step(database, job_id) and goes_on

    monkeypatch.setattr(finishing, "_step", both)
    finish(database, job)
    check_joined(database, job)


def test_a_job_that_cannot_be_closed_fails_with_a_sentence_and_can_be_retried(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SoftTimeLimitExceeded(Exception):
        pass

    def too_long(*_: object) -> None:
        raise SoftTimeLimitExceeded

    with monkeypatch.context() as broken:
        broken.setattr(closing, "fill_tracks", too_long)
        for attempt in range(1, MAX_CLOSINGS + 3):
            with reading(database) as session:
                assert get_job(session, job).state == ("running" if attempt <= MAX_CLOSINGS else "failed")
            finish(database, job)
    with reading(database) as session:
        found = get_job(session, job)
    assert found.state == "failed" and found.error is not None
    assert "tried 3 times, without success: it took too long" in found.error
    with writing(database) as session:
        assert retry_job(session, job) == 0
        assert get_job(session, job).state == "running"
    finish(database, job)
    check_joined(database, job)


def test_a_worker_that_is_killed_while_it_closes_is_counted(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(finishing, "_step", killed)
    for _ in range(MAX_CLOSINGS):
        with pytest.raises(KeyboardInterrupt):
            finish(database, job)
    finish(database, job)
    with reading(database) as session:
        found = get_job(session, job)
    assert found.state == "failed" and "the worker process died" in str(found.error)


def test_a_worker_that_takes_long_is_not_taken_for_dead(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep sends `finish_job` again all the while."""
    reads: list[int] = []
    read = tracks_by_segment
    begun, others_are_done = Event(), Event()

    def slow(session: Session, media_id: int) -> Any:
        reads.append(media_id)
        begun.set()
        others_are_done.wait(300)
        return read(session, media_id)

    def heartbeat() -> Any:
        with reading(database) as session:
            return session.scalar(select(Job.closing_at))

    def renewed_after(moment: Any) -> bool:
        return bool(heartbeat() > moment)

    monkeypatch.setattr(finishing, "tracks_by_segment", slow)
    monkeypatch.setattr(finishing, "RENEW_S", 0.1)
    # As in a worker's process, whose one connection is busy with reading.
    own = connect(database.url.render_as_string(hide_password=False), connections=1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(finish, own, job)
        assert begun.wait(30)
        for _ in range(MAX_CLOSINGS + 1):
            until(partial(renewed_after, heartbeat()))
            finish(database, job)
        others_are_done.set()
        first.result()
    own.dispose()
    assert len(reads) == VIDEOS, "the others left it alone"
    check_joined(database, job)
    assert heartbeat() is None


def test_a_closing_whose_process_was_killed_goes_on_once_its_lease_is_over(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(database) as session:
        assert closing.begin_closing(session, job)
        assert not closing.begin_closing(session, job)
    monkeypatch.setattr(closing, "CLOSING_LEASE_S", 0.0)
    finish(database, job)
    check_joined(database, job)


def test_an_outage_while_closing_is_no_attempt(database: Database, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise DatabaseUnreachableError

    monkeypatch.setattr(finishing, "LONGEST_S", 0.0)
    with monkeypatch.context() as outage:
        outage.setattr(closing, "ready_to_close", away)
        outage.setattr(closing, "begin_closing", lambda *_: True)
        with pytest.raises(DatabaseUnreachableError):
            finish(database, job)
    for _ in range(MAX_CLOSINGS + 2):
        with monkeypatch.context() as outage:
            outage.setattr(closing, "closing_went_on", away)
            with pytest.raises(DatabaseUnreachableError):
                finish(database, job)
    finish(database, job)
    check_joined(database, job)


def test_a_segment_may_have_more_tracks_than_a_statement_has_parameters(database: Database) -> None:
    """PostgreSQL takes 65,535, and three for each track were too many from 21,845 tracks on; SQLite takes 32,766."""
    tracks = 33_000
    with writing(database) as session:
        plans = [ShardPlan(0, 0, 1, video=True, start_ms=s, end_ms=s + 1, start_frame=s) for s in range(2)]
        job_id = new_job(session, [MediaPlan("crowd.mp4", "video", fps=10.0, duration_ms=3000)], plans)
        for shard_id, start in ((1, 0), (2, 1)):
            rows = [face(1, start, start, n, track_id=n, happy=1.0) for n in range(tracks)]
            complete(session, take(session, shard_id), [frame(1, start, start, tracks)], rows)
    finish(database, job_id)
    with reading(database) as session:
        assert get_job(session, job_id).state == "done"
        assert session.scalar(select(func.count()).select_from(Track)) == 2 * tracks
