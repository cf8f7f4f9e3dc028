"""Jobs from creation to deletion."""

import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select, update

from results.closing import begin_closing, close_job, shards_left
from results.database import connect, reading, writing
from results.errors import JobCancelledError, ShardLostError, UnknownJobError
from results.jobs import adopt_jobs, cancel_job, create_job, delete_job, get_job, list_jobs, retry_job
from results.leases import claim, fail, heartbeat
from results.media import media_of
from results.plans import MediaPlan, ShardPlan, add_plan
from results.read.status import job_status
from results.shards import complete
from results.tables import Job, Media, Shard, new_job_id
from tests.support.databases import sqlite_database
from tests.support.rows import (
    FOUR_PICTURES,
    ONE_VIDEO,
    THREE_SECONDS,
    TWO_PICTURES_EACH,
    face,
    frame,
    new_job,
    take,
)


def test_ids_sort_by_time() -> None:
    first = new_job_id()
    time.sleep(0.002)
    assert re.fullmatch(r"\d{8}T\d{9}-[0-9a-f]{4}", first)
    assert first < new_job_id()


def test_a_token_twice_is_one_job(database: Database) -> None:
    with writing(database) as session:
        first, new = create_job(session, kind="batch", name="a", options={}, request_token="t")
        again, newer = create_job(session, kind="batch", name="b", options={}, request_token="t")
        assert (new, newer, again.id) == (True, False, first.id)
        assert create_job(session, kind="batch", name=None, options={})[1]
        assert create_job(session, kind="batch", name=None, options={})[1]


def test_a_token_in_a_race_is_one_job(database: Database) -> None:
    ready = Barrier(4)

    def ask(_: int) -> tuple[str, bool]:
        ready.wait()
        with writing(database) as session:
            job, new = create_job(session, kind="batch", name=None, options={}, request_token="t")
            return job.id, new

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert len({job for job, _ in answers}) == 1
    assert sum(new for _, new in answers) == 1


def test_getting_a_job_by_a_part_of_its_id(database: Database) -> None:
    with writing(database) as session:
        for job_id in ("20260101T000000000-aaaa", "20260102T000000000-bbbb"):
            session.add(Job(id=job_id, kind="batch", options={}))
    with reading(database) as session:
        assert get_job(session, "20260102").id.endswith("bbbb")
        assert get_job(session, "aaaa").id.startswith("20260101")
        assert [job.id[-4:] for job in list_jobs(session)] == ["bbbb", "aaaa"]
        assert len(list_jobs(session, kind="batch", limit=1)) == 1 and not list_jobs(session, kind="train")
        for unknown, message in (("2026", "Several"), ("cccc", "'cccc'"), ("", "no job"), ("%", "no job")):
            with pytest.raises(UnknownJobError, match=message):
                get_job(session, unknown)


def test_cancelling(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        ours = take(session, 1)
        assert job_status(session, job_id).state == "running"
    with writing(database) as session:
        assert cancel_job(session, job_id)
    with writing(database) as session:
        assert job_status(session, job_id).state == "cancelled"
        assert not cancel_job(session, job_id)
        assert claim(session, 2, "w2") is None
        assert set(session.scalars(select(Media.state))) == {"cancelled"}
        assert set(session.scalars(select(Shard.state))) == {"cancelled"}
        with pytest.raises(JobCancelledError):
            heartbeat(session, ours, (1, 1))
        with pytest.raises(JobCancelledError):
            complete(session, ours, [frame(1, 0, 0, 0)], [])
        assert not close_job(session, job_id)
        assert job_status(session, job_id).state == "cancelled"


def test_retrying_after_cancelling(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        late = take(session, 1)
        cancel_job(session, job_id)
        assert retry_job(session, job_id) == 2
        take(session, 1, "w2")
        with pytest.raises(ShardLostError):
            complete(session, late, [], [])
        assert job_status(session, job_id).shards == {"pending": 1, "running": 1, "done": 0, "failed": 0}


def test_retrying_a_job_that_was_cancelled_while_it_was_closed(database: Database) -> None:
    """As by Ctrl-C in the last minute of a `run`."""
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        for n in range(3):
            complete(session, take(session, n + 1), [frame(1, 10 * n, 1000 * n, 0)], [])
        assert begin_closing(session, job_id) and cancel_job(session, job_id)
    with writing(database) as session:
        assert retry_job(session, job_id) == 0
        assert begin_closing(session, job_id) and close_job(session, job_id)
        assert job_status(session, job_id).state == "done"


def test_a_job_of_which_nothing_was_done_starts_with_the_first_claim_after_it_is_retried(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        cancel_job(session, job_id)
    with writing(database) as session:
        assert retry_job(session, job_id) == 2
        job = session.get_one(Job, job_id)
        assert (job.state, job.started_at) == ("queued", None)
        complete(session, take(session, 1), [frame(n, 0, 0, 0) for n in (1, 2)], [])
        session.refresh(job)
        assert job.state == "running" and job.started_at is not None
        began = job.started_at
        fail(session, take(session, 2), "torn")
        assert retry_job(session, job_id) == 1
        session.refresh(job)
        assert (job.state, job.started_at) == ("running", began), "half of it is done"


def test_retrying_what_failed_and_nothing_else(database: Database) -> None:
    unreadable = MediaPlan(uri="x.jpg", kind="image", state="failed", error="no picture")
    with writing(database) as session:
        job_id = new_job(session, [*FOUR_PICTURES, unreadable], TWO_PICTURES_EACH)
        complete(session, take(session, 1), [frame(1, 0, 0, 0), frame(2, 0, 0, 0)], [])
        complete(session, take(session, 2), [frame(4, 0, 0, 0)], [], [{"id": 3, "state": "failed", "error": "torn"}])
        assert close_job(session, job_id)
        assert get_job(session, job_id).error == "2 of 5 files failed"
    with writing(database) as session:
        assert retry_job(session, job_id) == 2
        claims = [take(session, shard) for shard in (3, 4)]
        assert [[medium.uri for medium in media_of(session, each)] for each in claims] == [["c.jpg"], ["x.jpg"]]
        complete(session, claims[0], [frame(3, 0, 0, 0)], [])
        complete(session, claims[1], [], [], [{"id": 5, "state": "failed", "error": "still no picture"}])
        assert close_job(session, job_id)
        status = job_status(session, job_id)
        assert status.errors == [{"uri": "x.jpg", "error": "still no picture", "state": "failed"}]
        assert (status.frames, status.error) == (4, "1 of 5 files failed")
        for _ in range(3):
            assert retry_job(session, job_id) == 1, "as often as one likes"
            complete(session, take(session, 4), [], [], [{"id": 5, "state": "failed", "error": "still no picture"}])
            assert close_job(session, job_id)
        status = job_status(session, job_id)
        assert (status.frames, status.planned_frames, sum(status.shards.values())) == (4, 5, 4)


def test_the_work_of_a_retry_grows_with_the_files_that_failed_and_not_with_their_square(tmp_path: Path) -> None:
    def steps(count: int) -> int:
        """Of SQLite, in hundreds, to retry a job of so many pictures, each of which failed alone."""
        database = connect(sqlite_database(tmp_path / f"{count}.db"))
        passed: list[None] = []
        with writing(database) as session:
            failed = [MediaPlan(f"{n}.jpg", "image", state="failed", error="torn") for n in range(count)]
            job_id = new_job(session, failed, [ShardPlan(n, n, planned_frames=1) for n in range(count)])
            session.execute(update(Shard).values(state="done"))
            driver = session.connection().connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.set_progress_handler(lambda: passed.append(None), 100)
            assert retry_job(session, job_id) == count
        database.dispose()
        return len(passed)

    assert steps(800) < 6 * steps(200), "four times the work, and not sixteen"


def test_retrying_a_video_that_could_not_be_read_when_the_job_was_submitted(database: Database) -> None:
    unreadable = MediaPlan(uri="film.mp4", kind="video", state="failed", error="no video")
    with writing(database) as session:
        job_id = new_job(session, [*FOUR_PICTURES, unreadable], [])
        session.execute(update(Media).where(Media.id < 5).values(state="done"))
        assert retry_job(session, job_id) == 1
        again = take(session, 1)
        assert again.is_unplanned_video and again.media_id == 5
        assert session.get_one(Media, 5).state == "pending" and session.get_one(Media, 5).error is None


NOTE = "film.mp4: ends after 10.0 s of 60.0 s: the file is truncated"


def test_retrying_a_part_of_a_video_keeps_what_planning_said(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video", error=NOTE)], THREE_SECONDS)
        for shard in (1, 2):
            complete(session, take(session, shard), [frame(1, shard, shard * 100, 0)], [])
        fail(session, take(session, 3), "the decoder broke")
        assert str(session.scalar(select(Media.error))).startswith(f"{NOTE}; 2 s to 3 s: the decoder broke; ")
        assert close_job(session, job_id)
        assert retry_job(session, job_id) == 1
        assert session.execute(select(Media.state, Media.error)).one() == ("pending", NOTE)


def test_retrying_a_video_of_which_nothing_was_analysed_plans_it_again(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video", error=NOTE), *FOUR_PICTURES], THREE_SECONDS)
        for shard in (1, 2, 3):
            fail(session, take(session, shard), "the file has changed")
        assert retry_job(session, job_id) == 1
        assert session.scalars(select(Shard.id)).all() == [1]
        assert take(session, 1).is_unplanned_video
        assert session.execute(select(Media.state, Media.error).where(Media.id == 1)).one() == ("pending", None)


def test_jobs_of_a_run_that_died_find_another_queue(database: Database) -> None:
    with writing(database) as session:
        dead, alive = (new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH) for _ in range(2))
        session.execute(update(Job).values(queue="run-1234"))
        take(session, 3)
        assert list(adopt_jobs(session, "run-", "batch", silent_s=60)) == [], "one may just have been submitted"
        session.execute(update(Job).values(created_at=datetime.now(UTC) - timedelta(hours=1)))
        assert list(adopt_jobs(session, "run-", "batch", silent_s=60)) == [dead]
        assert {get_job(session, each).queue for each in (dead, alive)} == {"batch", "run-1234"}


def test_status(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        assert job_status(session, job_id).fps == 0
        assert job_status(session, job_id).eta_seconds is None
        complete(session, take(session, 1), [frame(1, i, i * 100, 0) for i in range(10)], [])
        heartbeat(session, take(session, 2), (4, 2))
        time.sleep(0.01)
        status = job_status(session, job_id)
    assert list(status.as_dict()) == [
        *("job", "state", "media", "shards", "frames", "faces", "fps", "eta_seconds", "errors", "models")
    ]
    assert status.as_dict() | {"fps": 0, "eta_seconds": 0} == {
        "job": job_id,
        "state": "running",
        "media": 1,
        "shards": {"pending": 1, "running": 1, "done": 1, "failed": 0},
        "frames": 14,
        "faces": 2,
        "fps": 0,
        "eta_seconds": 0,
        "errors": [],
        "models": [],
    }
    assert status.planned_frames == 30
    assert status.fps > 0
    assert status.eta_seconds is not None
    assert {type(status.frames), type(status.faces), type(status.eta_seconds)} == {int, float}


def test_a_job_of_which_nothing_could_be_read_fails(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("x", "image", state="failed", error="torn")], [])
        assert close_job(session, job_id)
        assert not close_job(session, job_id)
        job = get_job(session, job_id)
        assert (job.state, job.error) == ("failed", "1 of 1 files failed")
        assert job.finished_at is not None


def test_a_job_that_is_not_planned_yet_is_not_closed(database: Database) -> None:
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={})
        assert not close_job(session, job.id)


def test_a_video_with_a_failed_segment_is_incomplete(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        complete(session, take(session, 1), [frame(1, n, 100 * n, 0) for n in range(10)], [])
        fail(session, take(session, 2), "bad data")
        complete(session, take(session, 3), [frame(1, n, 100 * n, 0) for n in range(23, 30)], [])
        assert shards_left(session, job_id) == 0
        assert close_job(session, job_id)
        status = job_status(session, job_id)
    assert (status.state, status.error) == ("done", "1 of 1 files are incomplete or have a note")
    error = "1 s to 2 s: bad data; 3 of 20 frames could not be decoded"
    assert status.errors == [{"uri": "film.mp4", "error": error, "state": "done"}]
    assert status.eta_seconds == 0


def test_deleting_leaves_nothing(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        complete(session, take(session, 1), [frame(1, 0, 0, 1)], [face(1, 0, 0, track_id=1, sad=1.0)])
        complete(session, take(session, 2), [], [])
        complete(session, take(session, 3), [], [])
        assert close_job(session, job_id)
    with writing(database) as session:
        assert delete_job(session, job_id)
        assert not delete_job(session, job_id)
    with reading(database) as session:
        for table in Job.metadata.sorted_tables:
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_a_hundred_thousand_rows(database: Database) -> None:
    count = 100_000
    media = [MediaPlan(uri=f"{i}.jpg", kind="image") for i in range(count)]
    shards = [ShardPlan(i, i + 99, planned_frames=100) for i in range(0, count, 100)]
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={})
        add_plan(session, job.id, media, shards)
    with writing(database) as session:
        ours = take(session, 7)
        first, *_, last = media_of(session, ours)
        assert (first.uri, last.uri) == ("600.jpg", "699.jpg")
        frames = [frame(first.id, i, i * 40, 1) for i in range(count)]
        complete(session, ours, frames, [face(first.id, i, i * 40, sad=1.0) for i in range(count)])
        status = job_status(session, job.id)
    assert (status.media, status.frames, status.planned_frames) == (count, count, count)
