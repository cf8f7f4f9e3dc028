"""Expired jobs are deleted with their crops, and their disk space is freed; on both databases."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from results.database import connect, reading, writing
from results.errors import DatabaseUnreachableError
from results.jobs import create_job, list_jobs, retry_job, utc_now
from results.recording import append_stream, hour
from results.retention import FRAMES, compact, old_jobs
from results.shards import complete
from results.streams import stop_stream
from results.tables import Job, Media, Shard
from tests.support.databases import sqlite_database
from tests.support.rows import ONE_VIDEO, THREE_SECONDS, face, frame, new_job, new_stream, take, take_stream, track
from tests.support.stack import running_worker
from workers import retention
from workers.batch import crops as crops_of_jobs
from workers.errors import ForgedJobError
from workers.training.checkpoints import run_folder


def job(database: Database, *, days: float | None, crops: Path | None = None) -> str:
    """A job with a face that ended so many days ago; that runs, if `days` is None."""
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS[:1])
        shard = session.execute(text("SELECT max(id) FROM shards")).scalar_one()
        medium = session.execute(text("SELECT max(id) FROM media")).scalar_one()
        complete(session, take(session, shard), [frame(medium, 0, 0, 1)], [face(medium, 0, 0, happy=1.0)])
        values: dict[str, Any] = {"options": {"keep_crops": str(crops)} if crops else {}}
        if days is not None:
            values |= {"state": "done", "finished_at": utc_now(session) - timedelta(days=days)}
        session.execute(update(Job).where(Job.id == job_id).values(values))
    if crops:
        (crops / job_id / "1").mkdir(parents=True)
        (crops / job_id / "1" / "00000000-000.jpg").write_bytes(b"a face")
    return job_id


def left(database: Database) -> set[str]:
    with reading(database) as session:
        return {each.id for each in list_jobs(session)}


def purged(database: Database) -> list[retention.Removed]:
    """What a purge of jobs older than 30 days removes; it must compact the database."""
    due, told = retention.due(database, timedelta(days=30)), list[str]()
    deletion = retention.purge(database, [status.job for status in due], (), told.append)
    assert told == [status.job for status in due] and deletion.compacted
    return deletion.removed


def test_only_what_ended_long_ago_and_holds_faces_is_old(database: Database) -> None:
    old, _, _ = job(database, days=31), job(database, days=29), job(database, days=None)
    with writing(database) as session:
        training, _ = create_job(session, kind="train", name=None, options={})
        long_ago = utc_now(session) - timedelta(days=90)
        session.execute(update(Job).where(Job.id == training.id).values(state="done", finished_at=long_ago))
    with reading(database) as session:
        assert old_jobs(session, timedelta(days=30)) == [old]


def test_rows_and_crops_of_old_jobs_go_and_others_stay(database: Database, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    old, new = job(database, days=31, crops=crops), job(database, days=1, crops=crops)
    assert purged(database) == [retention.Removed(old, None)]
    assert left(database) == {new} and [path.name for path in crops.iterdir()] == [new]
    with reading(database) as session:
        assert session.execute(text("SELECT count(*) FROM faces")).scalar() == 1


def test_a_job_that_was_deleted_or_opened_again_meanwhile_holds_up_no_other(database: Database) -> None:
    gone, again, old = (job(database, days=31) for _ in range(3))
    due = [status.job for status in retention.due(database, timedelta(days=30))]
    retention.remove(database, gone, ())
    with writing(database) as session:
        session.execute(update(Shard).where(Shard.job_id == again).values(state="failed"))
        assert retry_job(session, again) == 1
    assert retention.purge(database, due, ()).removed == [retention.Removed(old, None)]
    assert left(database) == {again}


@pytest.mark.parametrize("purges", [False, True])
def test_crops_go_though_the_answer_to_the_deletion_was_lost(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purges: bool
) -> None:
    crops = tmp_path / "crops"
    old = job(database, days=31, crops=crops)
    lost = [DatabaseUnreachableError()]

    @contextmanager
    def unanswered(where: Database) -> Iterator[Session]:
        with writing(where) as session:
            yield session
        if lost:
            raise lost.pop()

    monkeypatch.setattr(retention, "writing", unanswered)
    if purges:
        assert retention.purge(database, [old], ()).removed == [retention.Removed(old, None)]
    else:
        assert retention.remove(database, old, ()) == retention.Removed(old, None)
    assert not lost and left(database) == set() and not list(crops.iterdir())


def test_crops_that_are_elsewhere_are_said_to_be(database: Database, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    job_id = job(database, days=31, crops=crops)
    crops.rename(tmp_path / "unmounted")
    assert retention.remove(database, job_id, ()) == retention.Removed(job_id, crops / job_id)


def test_crops_that_cannot_be_deleted_are_named_and_the_others_go(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are gone, so that nothing would look for them again."""
    crops = tmp_path / "crops"
    first, second = job(database, days=32, crops=crops), job(database, days=31, crops=crops)
    forget = crops_of_jobs.forget

    def fail_once(folder: Path) -> None:
        if folder.name == first:
            raise OSError(13, "Permission denied")
        forget(folder)

    monkeypatch.setattr(crops_of_jobs, "forget", fail_once)
    assert purged(database) == [retention.Removed(first, crops / first), retention.Removed(second, None)]
    assert left(database) == set() and [path.name for path in crops.iterdir()] == [first]


def test_a_database_is_compact_again(database: Database) -> None:
    small = job(database, days=0)
    rows = "INSERT INTO frames SELECT :medium, n, :shard, n, 0 FROM counted"
    counted = "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 100000) "
    statement = counted + rows if database.dialect.name == "sqlite" else rows.replace(
        "counted", "generate_series(1, 100000) AS counted(n)"
    )  # fmt: skip
    before = size(database)
    big = job(database, days=31)
    with writing(database) as session:
        names = "(media_id, frame_index, shard_id, time_ms, faces)"
        session.execute(text(statement.replace("INTO frames", f"INTO frames {names}")), {"medium": 2, "shard": 2})
    full = size(database)
    assert full > before + 2_000_000
    purged(database)
    assert left(database) == {small} and big not in left(database)
    assert size(database) < before + (full - before) / 4


def size(database: Database) -> int:
    """Bytes on the disk; of PostgreSQL's the table alone, whose indexes keep their pages for what comes."""
    if database.dialect.name == "postgresql":
        with reading(database) as session:
            return int(session.execute(text("SELECT pg_relation_size('frames')")).scalar_one())
    path = Path(str(database.url.database))
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


def test_nothing_of_what_was_deleted_is_left_in_the_file(database: Database) -> None:
    if database.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's files are its own")
    job_id = job(database, days=31)
    with writing(database) as session:
        session.execute(text("UPDATE media SET uri = '/secret/person.mp4'"))
    purged(database)
    path = Path(str(database.url.database))
    content = b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    assert b"person" not in content and job_id.encode() not in content


def test_a_running_job_is_not_held_up(database: Database) -> None:
    job(database, days=None)
    assert compact(database) == (database.dialect.name == "postgresql")


@pytest.mark.parametrize("use", [reading, writing])
def test_what_cannot_be_compacted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Database], AbstractContextManager[Session]]
) -> None:
    """As by a pager that waits, or a program of the user's."""
    monkeypatch.setattr("results.database.BUSY_TIMEOUT_S", 0.2)
    url = sqlite_database(tmp_path / "results.db")
    database, others = connect(url), connect(url)
    job(database, days=31)
    with use(others) as session:
        session.execute(text("SELECT count(*) FROM jobs"))
        if use is reading:
            with writing(database) as deleting:
                deleting.execute(text("DELETE FROM jobs"))
        assert not compact(database)
    assert compact(database)
    for each in (database, others):
        each.dispose()


def test_workers_keep_to_the_setting(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = job(database, days=8), job(database, days=6)
    monkeypatch.setattr(retention, "_next", 0.0)
    retention.enforce(database, None, ())
    assert left(database) == {old, new}, "not set: never"
    monkeypatch.setattr(retention, "_next", 0.0)
    retention.enforce(database, 7, ())
    assert left(database) == {new}
    late = job(database, days=8)
    retention.enforce(database, 7, ())
    assert left(database) == {new, late}, "an hour has not passed"


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
def test_a_worker_does_it_by_itself(database: Database, broker: str, tmp_path: Path) -> None:
    old, new = job(database, days=8), job(database, days=6)
    environment = {
        "FER_DATABASE_URL": database.url.render_as_string(hide_password=False),
        "FER_BROKER_URL": broker,
        "FER_QUEUES": "retention",
        "FER_RETENTION_DAYS": "7",
    }
    until = time.monotonic() + 100
    with running_worker(environment, tmp_path / "worker.log"):
        while old in left(database) and time.monotonic() < until:
            time.sleep(0.2)
    assert left(database) == {new}, (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize("forged", ["../../other", "..", "", "job", "20261126T000000000-abcd/../../other", "/etc"])
def test_a_forged_id_deletes_no_other_folder(database: Database, tmp_path: Path, forged: str) -> None:
    crops, other = tmp_path / "crops" / "of" / "us", tmp_path / "crops" / "other"
    for folder in (crops, other):
        (folder / "a").mkdir(parents=True)
    job_id = job(database, days=31)
    with writing(database) as session:
        values = {"id": forged, "options": {"keep_crops": str(crops)}}
        session.execute(text("DELETE FROM shards"))
        session.execute(text("DELETE FROM media"))
        session.execute(update(Job).where(Job.id == job_id).values(values))
    assert retention.remove(database, forged, ()) == retention.Removed(forged, crops)
    assert left(database) == set() and (other / "a").is_dir() and (crops / "a").is_dir()
    with pytest.raises(ForgedJobError):
        run_folder(tmp_path, forged)


def test_crops_outside_of_their_roots_are_left_alone(database: Database, tmp_path: Path) -> None:
    inside, outside = tmp_path / "crops", tmp_path / "elsewhere"
    for folder, is_left in ((inside, False), (outside, True)):
        job_id = job(database, days=31, crops=folder)
        removed = retention.remove(database, job_id, [str(inside)])
        assert removed == retention.Removed(job_id, outside if is_left else None)
        assert (folder / job_id).is_dir() == is_left


def stream(database: Database, name: str, *ages_h: int, crops: Path | None = None, kept_h: int | None = None) -> str:
    """A stream that is on, with a face and a crop in each hour that began so many hours before this one."""
    with writing(database) as session:
        retention_ms = None if kept_h is None else kept_h * 3_600_000
        job_id = new_stream(session, name, retention_ms=retention_ms, keep_crops=str(crops) if crops else None)
        claim = take_stream(session, job_id)
        for n, age in enumerate(ages_h):
            media_id = hour(session, claim, utc_now(session) - timedelta(hours=age)).media_id
            # More frames than one transaction deletes.
            frames = [frame(media_id, index, index, 1) for index in range(FRAMES + 1)]
            faces = [face(media_id, index, index, track_id=0, happy=1.0) for index in range(0, FRAMES + 1, 100)]
            rows: dict[str, Any] = {
                "frames": frames,
                "faces": faces,
                "tracks": [track(media_id, 0, 0, 9, 9, happy=1.0)],
            }
            events = [(media_id, utc_now(session), "connected", "The source answered.")]
            append_stream(session, claim, n, **rows, events=events, next_track_id=1)
            if crops:
                (crops / job_id / str(media_id)).mkdir(parents=True)
    return job_id


def hours(database: Database) -> list[tuple[str, int]]:
    """Of each hour that is left the stream, and how many hours before the newest it began; nothing else may be left."""
    with reading(database) as session:
        media = session.execute(text("SELECT count(*) FROM media")).scalar_one()
        for table in ("frames", "faces", "tracks", "stream_events"):
            assert session.execute(text(f"SELECT count(DISTINCT media_id) FROM {table}")).scalar_one() == media
        rows = session.execute(select(Job.name, Media.position).join(Media, Media.job_id == Job.id)).all()
    newest = max(position for _, position in rows)
    return sorted((str(name), newest - position) for name, position in rows)


def test_hours_of_streams_are_deleted_whole_after_their_own_retention_or_the_general_one(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = tmp_path / "crops"
    job_id = stream(database, "lobby", 0, 2, 30, crops=crops)
    stream(database, "door", 0, 2, 30, kept_h=1)
    stream(database, "gate", 0, 30, kept_h=1000)
    everything = hours(database)
    monkeypatch.setattr(retention, "_next", 0.0)
    retention.enforce(database, None, ())
    assert hours(database) == [hour for hour in everything if hour[0] != "door" or hour[1] == 0]
    monkeypatch.setattr(retention, "_next", 0.0)
    retention.enforce(database, 1, ())
    assert hours(database) == [("door", 0), ("gate", 0), ("gate", 30), ("lobby", 0), ("lobby", 2)]
    assert len(list((crops / job_id).iterdir())) == 2
    due = retention.due_hours(database, timedelta(hours=1), own=False)
    assert [each.name for each in due] == ["lobby", "gate"]
    crops.rename(tmp_path / "unmounted")
    deletion = retention.purge_hours(database, due, ())
    assert [each.crops_left for each in deletion.removed] == [crops / job_id / str(due[0].media_id), None]
    assert hours(database) == [("door", 0), ("gate", 0), ("lobby", 0)]


def test_a_stream_that_is_kept_for_ages_keeps_no_other(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_next", 0.0)
    stream(database, "for ever", 5, kept_h=24 * 9_999_999)
    stream(database, "lobby", 5, 1, kept_h=3)
    retention.enforce(database, None, ())
    assert [name for name, _ in hours(database)] == ["for ever", "lobby"]


def test_a_stream_is_no_old_job_when_it_is_stopped(database: Database) -> None:
    stream(database, "lobby", 0)
    with writing(database) as session:
        stop_stream(session, "lobby")
        session.execute(update(Job).values(finished_at=utc_now(session) - timedelta(days=90)))
        assert not old_jobs(session, timedelta(days=30))
