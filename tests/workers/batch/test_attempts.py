"""Attempts at a shard: permanent and transient errors, shutdown, and outages of the database."""

from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.engines import Engine
from fer_model.networks.manifest import ModelSet
from results import leases, shards
from results.database import reading, writing
from results.jobs import create_job
from results.plans import add_plan
from results.read.status import job_status
from results.tables import Frame, Media, Shard
from tests.support.outages import always_away, away_once
from workers.batch.finishing import finish
from workers.batch.planning import BatchOptions, plan
from workers.batch.processing import Queue, process_shard
from workers.models import store
from workers.settings import Settings

pytestmark = pytest.mark.usefixtures("cache")


def planned(database: Database, paths: list[Path], patience_s: float = 60) -> str:
    """A job's id."""
    options = BatchOptions(every=10, shard_seconds=2)
    media, shards = plan([str(path) for path in paths], options, (), patience_s=patience_s)
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options=options.as_dict())
        add_plan(session, job.id, media, shards)
    return job.id


def shards_of(database: Database, job_id: str) -> list[Shard]:
    with reading(database) as session:
        return list(session.scalars(select(Shard).where(Shard.job_id == job_id).order_by(Shard.start_ms, Shard.id)))


def noting(queued: list[str]) -> Queue:
    """Records the job after each transaction that may queue more of it."""
    return lambda _, job_id: lambda: queued.append(job_id)


def test_a_video_is_cut_by_the_worker_just_as_by_submit(database: Database, networks: Engine, samples: Path) -> None:
    found = []
    for patience_s in (60, -1):
        job_id = planned(database, [samples / "clip.mp4"], patience_s)
        queued: list[str] = []
        while waiting := [shard for shard in shards_of(database, job_id) if shard.state == "pending"]:
            process_shard(database, Settings(), waiting[0].id, "w", lambda _: networks, queue=noting(queued))
        finish(database, job_id)
        with reading(database) as session:
            (medium,) = session.scalars(select(Media).where(Media.job_id == job_id))
            frames = session.execute(
                select(Frame.frame_index, Frame.time_ms, Frame.faces)
                .where(Frame.media_id == medium.id)
                .order_by(Frame.frame_index)
            ).all()
            status = job_status(session, job_id)
        pieces = [
            (s.start_ms, s.end_ms, s.start_frame, s.planned_frames, s.frames) for s in shards_of(database, job_id)
        ]
        assert (status.state, status.planned_frames) == ("done", 20)
        found.append((frames, pieces, medium.width, medium.fps, medium.duration_ms, medium.frame_count))
        assert queued.count(job_id) == len(pieces) + (patience_s < 0), "each time more can be queued"
    assert found[0] == found[1]


def test_a_file_that_is_no_video_fails_at_once_when_a_worker_looks_into_it(
    database: Database, networks: Engine, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all" * 50)
    job_id = planned(database, [tmp_path / "broken.mp4"], patience_s=-1)
    (shard,) = shards_of(database, job_id)
    process_shard(database, Settings(), shard.id, "w", lambda _: networks)
    finish(database, job_id)
    with reading(database) as session:
        status = job_status(session, job_id)
    assert status.state == "failed" and status.errors[0]["error"].startswith(str(tmp_path / "broken.mp4"))


def test_an_unforeseen_error_is_tried_three_times(database: Database, samples: Path) -> None:
    def broken(models: ModelSet) -> Engine:
        raise OSError("the file system went away")

    job_id = planned(database, [samples / "clip.mp4"])
    shard, *_ = shards_of(database, job_id)
    for attempts in (1, 2, 3):
        process_shard(database, Settings(), shard.id, "w", broken)
        shard, *_ = shards_of(database, job_id)
        assert (shard.attempts, shard.state) == (attempts, "pending" if attempts < 3 else "failed")
    assert shard.error == "tried 3 times, without success: OSError: the file system went away"


def test_a_worker_that_shuts_down_requeues_its_shard_uncounted(
    database: Database, networks: Engine, samples: Path
) -> None:
    job_id = planned(database, [samples / "clip.mp4"])
    shard, *_ = shards_of(database, job_id)
    process_shard(database, Settings(), shard.id, "w", lambda _: networks, stopping=lambda: True)
    shard, *_ = shards_of(database, job_id)
    assert (shard.state, shard.attempts, shard.queued_at, shard.frames) == ("pending", 0, None, 0)


@pytest.mark.parametrize(("module", "name"), [(leases, "claim"), (store, "current"), (shards, "complete")])
def test_a_short_outage_of_the_database_uses_up_no_attempt(
    database: Database,
    networks: Engine,
    samples: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
) -> None:
    monkeypatch.setattr(module, name, away_once(getattr(module, name)))
    job_id = planned(database, [samples / "clip.mp4"])
    shard, *_ = shards_of(database, job_id)
    process_shard(database, Settings(), shard.id, "w", lambda _: networks)
    shard, *_ = shards_of(database, job_id)
    assert (shard.state, shard.attempts) == ("done", 1)


def test_a_lasting_outage_of_the_database_requeues_the_shard_uncounted(
    database: Database, networks: Engine, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr(store, "current", always_away)
    job_id = planned(database, [samples / "clip.mp4"])
    shard, *_ = shards_of(database, job_id)
    assert process_shard(database, Settings(lease_seconds=2), shard.id, "w", lambda _: networks) == job_id
    shard, *_ = shards_of(database, job_id)
    assert (shard.state, shard.attempts, shard.queued_at) == ("pending", 0, None), "it is queued again at once"


def test_a_picture_outside_the_roots_is_refused_although_its_row_names_it(
    database: Database, networks: Engine, samples: Path, tmp_path: Path
) -> None:
    job_id = planned(database, [samples / "zidane.jpg"])
    (shard,) = shards_of(database, job_id)
    process_shard(database, Settings(media_roots=str(tmp_path)), shard.id, "w", lambda _: networks)
    finish(database, job_id)
    with reading(database) as session:
        (error,) = job_status(session, job_id).errors
    assert error["error"] == f"{samples / 'zidane.jpg'}: lies outside FER_MEDIA_ROOTS"


def test_a_video_outside_the_roots_is_refused_although_its_row_names_it(
    database: Database, networks: Engine, samples: Path, tmp_path: Path
) -> None:
    job_id = planned(database, [samples / "clip.mp4"])
    shard, *_ = shards_of(database, job_id)
    process_shard(database, Settings(media_roots=str(tmp_path)), shard.id, "w", lambda _: networks)
    shard, *_ = shards_of(database, job_id)
    assert (shard.state, shard.attempts) == ("failed", 1)
    assert shard.error == f"{samples / 'clip.mp4'}: lies outside FER_MEDIA_ROOTS"
