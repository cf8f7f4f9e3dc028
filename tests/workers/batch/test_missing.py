"""Files that were there when the job was submitted and are missing on a worker's host."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, update

from fer_model.engines import Engine
from fer_model.errors import WeightsError
from fer_model.networks.manifest import WeightsFile
from fer_model.sources import open_source
from results import leases
from results.attempts import attempts_of
from results.backlog import backlogs
from results.clock import ago
from results.database import reading, writing
from results.jobs import retry_job
from results.leases import give_up_missing, postpone, requeue
from results.presence import absent_workers
from results.read.status import JobStatus, job_status
from results.shards import complete
from results.tables import Media, Shard
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.disks import small_disk
from tests.support.idle import IdleEngine
from tests.support.planning import planned
from tests.support.rows import ONE_VIDEO, THREE_SECONDS, frame, new_job, take
from workers.batch import absence, planning
from workers.batch.absence import MISSES
from workers.batch.finishing import finish
from workers.batch.missing import noticed
from workers.batch.planning import BatchOptions
from workers.batch.processing import process_shard
from workers.errors import MissingMediaError
from workers.settings import Settings


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A share with eight pictures, two in each shard, and a video of five."""
    monkeypatch.setattr(planning, "PICTURES_PER_SHARD", 2)
    folder = tmp_path / "share"
    folder.mkdir()
    for number in range(8):
        cv2.imwrite(str(folder / f"{number}.png"), noise_picture()[:48, :48])
    write_clip(folder / "clip.mp4", panning_frames(noise_picture(), 5, size=(160, 96)))
    yield folder


def work(database: Database, ids: list[int], misses: list[str] | None = None, roots: Path | None = None) -> None:
    settings = Settings(media_roots=str(roots) if roots else None)
    for shard_id in ids:
        process_shard(database, settings, shard_id, "w", lambda models: IdleEngine(len(models.members)), misses=misses)


def ended(database: Database, job_id: str) -> JobStatus:
    finish(database, job_id)
    with reading(database) as session:
        return job_status(session, job_id)


def open_shards(database: Database, job_id: str) -> list[int]:
    with reading(database) as session:
        pending = (Shard.job_id == job_id, Shard.state == "pending")
        return list(session.scalars(select(Shard.id).where(*pending).order_by(Shard.id)))


@pytest.mark.parametrize("is_mount_point", [False, True])
def test_a_host_without_the_share_fails_nothing(database: Database, share: Path, is_mount_point: bool) -> None:
    """The folder is gone, or is an empty place to mount the share at."""
    job_id, ids = planned(database, [share])
    away = share.rename(share.parent / "away")
    if is_mount_point:
        share.mkdir()
    misses: list[str] = []
    work(database, 4 * ids, misses)
    assert open_shards(database, job_id) == ids, "more attempts than a shard has, and none counts"
    assert len(misses) == 4 * len(ids) > MISSES
    with reading(database) as session:
        assert set(session.scalars(select(Shard.attempts))) == {0}
        attempts = attempts_of(session, job_id)
        assert job_status(session, job_id).errors == []
        job = backlogs(session, [job_id])[job_id]
        assert job_status(session, job_id).missing == len(ids)
    assert job.wanted == 0, "they are sent again only after a pause"
    assert len(attempts) == 4 * len(ids) and not any(attempt.counted for attempt in attempts)
    assert all("is missing on" in attempt.error and attempt.worker == "w" for attempt in attempts)
    if is_mount_point:
        share.rmdir()
    away.rename(share)
    work(database, ids, misses)
    status = ended(database, job_id)
    assert (status.state, status.failed, status.missing, status.frames, misses) == ("done", 0, 0, 8 + 5, [])


def test_one_deleted_picture_is_left_to_other_workers_and_then_fails_alone(
    database: Database, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, ids = planned(database, [share])
    lost = share / "3.png"
    lost.unlink()
    misses: list[str] = []
    work(database, ids, misses)
    (alone,) = open_shards(database, job_id)
    assert misses == [] and alone not in ids
    work(database, [alone])
    assert open_shards(database, job_id) == [alone]
    monkeypatch.setattr(leases, "MISSING_S", 0.0)
    work(database, [alone])
    status = ended(database, job_id)
    assert (status.state, status.failed, status.frames) == ("done", 1, 7 + 5)
    assert status.planned_frames == 8 + 5, "each picture is planned once"
    assert status.failures == "1 of 9 files failed" and not status.is_a_failure
    (error,) = status.errors
    assert error["uri"] == str(lost) and "was there when the job was submitted" in error["error"]


def planned_with_a_folder_that_is_gone(database: Database, share: Path) -> tuple[str, list[int], Path]:
    """The job and the shards of the share, and the one picture in its folder, both deleted since."""
    picture = share / "anna" / "0.png"
    picture.parent.mkdir()
    (share / "0.png").rename(picture)
    job_id, ids = planned(database, [share])
    picture.unlink()
    picture.parent.rmdir()
    return job_id, ids, picture


def test_a_deleted_folder_fails_its_own_pictures_alone(
    database: Database, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures of several folders share a shard."""
    monkeypatch.setattr(planning, "PICTURES_PER_SHARD", 50)
    job_id, ids, _ = planned_with_a_folder_that_is_gone(database, share)
    work(database, ids)
    (alone,) = open_shards(database, job_id)
    with reading(database) as session:
        assert job_status(session, job_id).frames == 7 + 5
    work(database, [alone])
    with writing(database) as session:
        session.execute(update(Shard).where(Shard.id == alone).values(missing_since=ago(2 * leases.LEFT_S)))
        assert give_up_missing(session, [job_id]) == 1
    status = ended(database, job_id)
    assert (status.state, status.failed) == ("done", 1)
    assert "is missing on" in status.errors[0]["error"]


def test_of_pictures_that_are_all_missing_one_without_its_folder_decides(
    database: Database, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its share may come back; a deleted file would fail the shard after 20 s."""
    monkeypatch.setattr(planning, "PICTURES_PER_SHARD", 50)
    monkeypatch.setattr(leases, "MISSING_S", 0.0)
    (share / "clip.mp4").unlink()
    job_id, ids, gone = planned_with_a_folder_that_is_gone(database, share)
    for number in range(1, 8):
        (share / f"{number}.png").unlink()
    (share / "other.txt").touch()
    misses: list[str] = []
    work(database, 2 * ids, misses)
    assert open_shards(database, job_id) == ids and misses == [str(gone)] * 2


def test_a_picture_that_was_set_aside_counts_as_missing_from_its_own_first_attempt(
    database: Database, share: Path
) -> None:
    """In a large job that may be hours later."""
    job_id, ids = planned(database, [share])
    (share / "3.png").unlink()
    work(database, ids)
    (alone,) = open_shards(database, job_id)
    with reading(database) as session:
        assert session.get_one(Shard, alone).missing_since is None


def test_retry_forgets_for_how_long_a_file_was_missing(database: Database, share: Path) -> None:
    job_id, ids = planned(database, [share])
    away = share.rename(share.parent / "away")
    work(database, ids)
    with writing(database) as session:
        session.execute(update(Shard).values(missing_since=ago(2 * leases.LEFT_S)))
        assert give_up_missing(session, [job_id]) == len(ids)
    assert ended(database, job_id).state == "failed"
    away.rename(share)
    with writing(database) as session:
        assert retry_job(session, job_id) == len(ids)
        assert give_up_missing(session, [job_id]) == 0, "not before they are tried"
    work(database, ids)
    status = ended(database, job_id)
    assert (status.state, status.frames) == ("done", 8 + 5)


def test_crops_that_cannot_be_written_are_no_fault_of_the_pictures(
    database: Database, samples: Path, networks: Engine, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    check_refused(database, samples, networks, tmp_path / "file" / "crops", "Not a directory")


def test_crops_for_which_the_disk_is_full_are_no_fault_of_the_pictures(
    database: Database, samples: Path, networks: Engine, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "full", "4k") as folder:
        check_refused(database, samples, networks, folder, "No space left on device")


def check_refused(database: Database, samples: Path, networks: Engine, folder: Path, reason: str) -> None:
    """Analyses a photograph whose crops cannot be written in `folder`: it fails at once, for that reason."""
    job_id, (shard_id,) = planned(database, [samples / "zidane.jpg"], BatchOptions(keep_crops=str(folder)))
    process_shard(database, Settings(), shard_id, "w", lambda models: networks)
    status = ended(database, job_id)
    with reading(database) as session:
        assert session.get_one(Shard, shard_id).attempts == 1, "no other attempt would find another folder"
    assert status.errors[0]["error"] == (f"pictures of faces (--keep-crops) cannot be written in {folder}: {reason}")


def test_another_file_that_is_missing_is_not_called_the_medium(samples: Path) -> None:
    """As weights that a host does not have."""
    with pytest.raises(WeightsError, match="/nowhere/lost"), noticed(str(samples / "clip.mp4"), ()):
        WeightsFile("lost", Path("/nowhere/lost.safetensors"), "0" * 64).verify()


def test_what_stays_missing_ends_the_job_although_no_worker_tries_it(database: Database, share: Path) -> None:
    job_id, ids = planned(database, [share])
    away = share.rename(share.parent / "away")
    work(database, ids)
    away.rename(share)
    work(database, ids[:1])
    with writing(database) as session:
        assert give_up_missing(session, [job_id]) == 0
        session.execute(update(Shard).values(missing_since=ago(2 * leases.LEFT_S)))
        assert give_up_missing(session, [job_id]) == len(ids) - 1
    status = ended(database, job_id)
    assert status.state == "done" and status.failed > status.media / 2 and status.is_a_failure


def test_a_shard_whose_files_came_back_is_not_given_up_when_its_worker_stops(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        postpone(session, take(session, 1), "film.mp4: is missing", leases.LEFT_S)
        session.execute(update(Shard).where(Shard.id == 1).values(missing_since=ago(2 * leases.LEFT_S)))
        assert requeue(session, take(session, 1), "the worker stops", counted=False)
        assert give_up_missing(session, [job_id]) == 0


def test_a_video_whose_last_parts_stay_missing_together_is_settled_once(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        complete(session, take(session, 1), [frame(1, n, 100 * n, 0) for n in range(8)], [])
        for shard_id in (2, 3):
            postpone(session, take(session, shard_id), "film.mp4: is missing", leases.LEFT_S)
        session.execute(update(Shard).values(missing_since=ago(2 * leases.LEFT_S)))
        assert give_up_missing(session, [job_id]) == 2
        error = session.scalar(select(Media.error))
    assert error is not None and error.count("2 of 10 frames could not be decoded") == 1


def test_nothing_is_looked_for_outside_the_roots(database: Database, share: Path, tmp_path: Path) -> None:
    job_id, ids = planned(database, [share])
    share.rename(tmp_path / "away")
    work(database, ids, roots=tmp_path / "elsewhere")
    status = ended(database, job_id)
    assert status.state == "failed" and status.errors
    assert all(error["error"].endswith("lies outside FER_MEDIA_ROOTS") for error in status.errors)


def test_an_absent_worker_comes_back_when_it_sees_a_file(database: Database, share: Path) -> None:
    planned(database, [share])
    away = share.rename(share.parent / "away")
    missed = ["/nowhere/else.jpg", str(share / "clip.mp4")]
    absence.leave(database, "fer-1@a", missed)
    assert absence.is_absent(database, "fer-1@a") and not absence.is_absent(database, "fer-1@b")
    assert absence.look_again(database, "fer-1@a", ["batch"])
    with reading(database) as session:
        (absent,) = absent_workers(session)
    assert (absent.worker, absent.uris) == ("fer-1@a", missed)
    away.rename(share)
    assert not absence.look_again(database, "fer-1@a", ["batch"])
    assert not absence.is_absent(database, "fer-1@a")


def test_deleted_files_of_one_job_do_not_keep_a_worker_from_others(database: Database, share: Path) -> None:
    planned(database, [share])
    absence.leave(database, "fer-1@a", ["/nowhere/else.jpg"])
    assert not absence.look_again(database, "fer-1@a", ["batch"])
    with writing(database) as session:
        session.execute(update(Media).values(state="done"))
    absence.leave(database, "fer-1@a", ["/nowhere/else.jpg"])
    assert not absence.look_again(database, "fer-1@a", ["batch"]), "nothing waits that it could miss"


def test_a_file_that_is_back_when_it_is_looked_at_is_tried_again(samples: Path, tmp_path: Path) -> None:
    kinds: dict[str, Literal["image", "video"]] = {"zidane.jpg": "image", "clip.mp4": "video"}
    for name, kind in kinds.items():
        path = tmp_path / "share" / name
        path.parent.mkdir(exist_ok=True)
        with pytest.raises(MissingMediaError, match="is missing on"), noticed(str(path), ()):
            try:
                list(open_source(str(path), kind=kind))
            finally:
                path.write_bytes((samples / name).read_bytes())
