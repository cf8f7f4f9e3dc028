"""What is analysed is what was submitted."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.engines import Engine
from fer_model.errors import UnreadableMediaError
from fer_model.networks.manifest import ModelSet
from fer_model.sources.identity import CHANGED, Identity
from fer_model.sources.opening import open_media
from fer_model.sources.video import read_video
from results.database import reading, writing
from results.jobs import create_job, retry_job
from results.plans import add_plan
from results.tables import Frame, Media, Shard
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.planning import planned
from tests.support.servers import FileServer, serving
from workers.batch.planning import BatchOptions, plan
from workers.batch.processing import process_shard
from workers.settings import Settings

pytestmark = pytest.mark.usefixtures("cache")


def errors(database: Database) -> dict[str, str | None]:
    """The error of each medium, by its name, without its path."""
    with reading(database) as session:
        media = session.scalars(select(Media)).all()
    return {Path(each.uri).name: each.error and each.error.split(": ")[-1] for each in media}


def test_a_file_that_was_replaced_fails_alone(
    database: Database, networks: Engine, models: ModelSet, tmp_path: Path
) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    for name in ("same.bmp", "touched.bmp", "coarse.bmp", "larger.bmp"):
        Image.new("RGB", (64, 64), "red").save(folder / name)
    clip = write_clip(folder / "clip.mp4", panning_frames(noise_picture(), 75))
    job_id, ids = planned(database, [folder], BatchOptions(shard_seconds=1))
    assert len(ids) == 4
    process_shard(database, Settings(), ids[0], "test", lambda _: networks)
    times = os.stat(folder / "touched.bmp")
    Image.new("RGB", (64, 64), "blue").save(folder / "touched.bmp")
    os.utime(folder / "coarse.bmp", (times.st_atime, int(os.stat(folder / "coarse.bmp").st_mtime)))
    Image.new("RGB", (64, 65), "blue").save(folder / "larger.bmp")
    os.utime(folder / "larger.bmp", ns=(times.st_atime_ns, times.st_mtime_ns))
    shutil.copy(write_clip(tmp_path / "other.mp4", panning_frames(noise_picture(), 75)), clip)
    for shard_id in ids[1:]:
        process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    assert errors(database) == {
        "same.bmp": None,
        "touched.bmp": CHANGED,
        "coarse.bmp": None,
        "larger.bmp": CHANGED,
        "clip.mp4": CHANGED,
    }
    with reading(database) as session:
        assert list(session.scalars(select(Shard.state).order_by(Shard.id))) == ["done", "failed", "failed", "done"]
        assert list(session.scalars(select(Shard.attempts).order_by(Shard.id))) == [1, 1, 1, 1]
    with writing(database) as session:
        assert retry_job(session, job_id) == 4, "two pictures and two segments"
        again = list(session.scalars(select(Shard.id).where(Shard.state == "pending")))
    for shard_id in again:
        process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    # A retry takes pictures as they are now; a video of which a segment is done must still be that video.
    assert errors(database) == dict.fromkeys(("same.bmp", "touched.bmp", "coarse.bmp", "larger.bmp")) | {
        "clip.mp4": CHANGED
    }


def test_a_file_that_is_overwritten_while_it_is_read_fails(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", panning_frames(noise_picture(), 250), gop=25)
    picture = tmp_path / "picture.bmp"
    Image.new("RGB", (64, 64), "red").save(picture)
    other = write_clip(tmp_path / "other.mp4", panning_frames(noise_picture(seed=1), 250), gop=25)
    frames = read_video(str(clip), expected=as_it_is(clip))
    assert next(frames).index == 0
    shutil.copyfile(other, clip)
    with pytest.raises(UnreadableMediaError, match=CHANGED):
        list(frames)
    with pytest.raises(UnreadableMediaError, match=CHANGED), open_media(str(picture), (), as_it_is(picture)) as file:
        Image.new("RGB", (64, 64), "blue").save(picture)
        file.read()


def as_it_is(file: Path) -> Identity:
    """The identity of a file at this moment."""
    status = file.stat()
    return Identity(status.st_size, status.st_mtime)


@pytest.mark.parametrize(("fps", "frames"), [(50, 150), (10, 30)])
def test_a_video_that_was_replaced_before_any_of_it_was_analysed_is_planned_again(
    database: Database, networks: Engine, models: ModelSet, tmp_path: Path, fps: int, frames: int
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", panning_frames(noise_picture(), 75))
    job_id, ids = planned(database, [clip], BatchOptions(shard_seconds=1))
    shutil.copy(write_clip(tmp_path / "other.mp4", panning_frames(noise_picture(), frames), fps=fps), clip)
    for shard_id in ids:
        process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    assert errors(database) == {"clip.mp4": CHANGED}
    with writing(database) as session:
        assert retry_job(session, job_id) == 1
    # The first is cut, which adds the others.
    for shard_id in range(1, 8):
        process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    assert errors(database) == {"clip.mp4": None}
    with reading(database) as session:
        times = session.execute(select(Frame.frame_index, Frame.time_ms).order_by(Frame.frame_index)).all()
        assert times == [(index, round(index * 1000 / fps)) for index in range(frames)]


def test_a_remote_video_is_the_one_that_was_planned(
    database: Database, networks: Engine, models: ModelSet, tmp_path: Path
) -> None:
    content = write_clip(tmp_path / "clip.mp4", panning_frames(noise_picture(), 75)).read_bytes()
    with serving(FileServer({"/clip.mp4": content})) as server:
        settings = Settings(media_roots=f"{server.url}/")
        options = BatchOptions(shard_seconds=1)
        media, shards = plan([f"{server.url}/clip.mp4"], options, settings.permitted_roots)
        with writing(database) as session:
            job, _ = create_job(session, kind="batch", name=None, options=options.as_dict())
            add_plan(session, job.id, media, shards)
        process_shard(database, settings, 1, "test", lambda _: networks)
        with reading(database) as session:
            assert session.scalars(select(Media.size)).one() == len(content)
        server.files["/clip.mp4"] = content + b"\0\0\0\x08free"
        for number in (2, 3):
            process_shard(database, settings, number, "test", lambda _: networks)
    assert errors(database) == {"clip.mp4": CHANGED}


def test_what_counts_as_another_file() -> None:
    known = Identity(10, 1000.25, '"a"')
    assert not known.differs(known) and not known.differs(Identity()) and not Identity().differs(known)
    assert not known.differs(Identity(10, 1000.0, '"a"'))  # a file system that stores whole seconds
    for other in (Identity(11), Identity(10, 1000.75), Identity(10, 1001.0), Identity(etag='"b"')):
        assert known.differs(other)
