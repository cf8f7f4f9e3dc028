"""One shard, from its row to its results, on both databases."""

from pathlib import Path
from typing import Any, NoReturn

import av
import numpy as np
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select

from fer_model.analysis.ensemble import combine
from fer_model.engines import Engine
from fer_model.errors import WeightsError
from fer_model.networks.manifest import ModelSet
from fer_model.types import EMOTIONS
from results import leases
from results.database import reading, writing
from results.jobs import cancel_job
from results.leases import claim
from results.read.status import job_status
from results.tables import Face, FaceScore, Frame, Media, Shard, Track
from tests.support.broken import with_steps
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.idle import IdleEngine
from tests.support.planning import analysed, planned
from workers.batch.finishing import finish
from workers.batch.planning import BatchOptions
from workers.batch.processing import process_shard
from workers.models import store
from workers.settings import Settings

pytestmark = pytest.mark.usefixtures("cache")


def test_pictures_become_rows(database: Database, networks: Engine, samples: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("this is no picture")
    job_id = analysed(database, networks, [samples / "zidane.jpg", text, samples / "bus.jpg"])
    with reading(database) as session:
        status = job_status(session, job_id)
        media = {Path(m.uri).name: m for m in session.scalars(select(Media))}
        faces = session.scalars(select(Face).where(Face.media_id == media["zidane.jpg"].id)).all()
        frames = {frame.media_id: frame for frame in session.scalars(select(Frame))}
    assert (status.state, status.frames, status.media) == ("done", 2, 3)
    assert media["text.jpg"].state == "failed" and "text.jpg" in str(media["text.jpg"].error)
    assert (media["zidane.jpg"].width, media["zidane.jpg"].height) == (1280, 720)
    assert len(faces) == 2 and frames[media["zidane.jpg"].id].faces == 2
    assert media["text.jpg"].id not in frames
    for face in faces:
        probabilities = [getattr(face, emotion) for emotion in ("angry", "disgust", "fear", "happy", "sad")]
        probabilities += [face.surprise, face.neutral]
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)
        assert face.confidence == max(probabilities) == getattr(face, face.emotion)
        assert face.track_id is None and face.quality is not None and 0 <= face.quality <= 1
        assert 0 <= face.x1 < face.x2 <= 1280 and 0 <= face.y1 < face.y2 <= 720


@pytest.mark.parametrize("detect_every", [1, 3, "auto"])
def test_a_clip_gives_the_same_rows_however_it_is_cut(
    database: Database, networks: Engine, samples: Path, detect_every: Any
) -> None:
    results = []
    for seconds in (60.0, 3.0):
        options = BatchOptions(every=3, shard_seconds=seconds, detect_every=detect_every)
        job_id = analysed(database, networks, [samples / "clip.mp4"], options)
        with reading(database) as session:
            media_id = session.scalars(select(Media.id).where(Media.job_id == job_id)).one()
            frames = session.execute(
                select(Frame.frame_index, Frame.time_ms, Frame.faces)
                .where(Frame.media_id == media_id)
                .order_by(Frame.frame_index)
            ).all()
            boxes = session.execute(
                select(Face.frame_index, Face.face_index, Face.x1, Face.happy)
                .where(Face.media_id == media_id)
                .order_by(Face.frame_index, Face.face_index)
            ).all()
            tracks = session.scalars(select(func.count()).select_from(Track).where(Track.media_id == media_id)).one()
            shards = session.scalars(select(func.count()).select_from(Shard).where(Shard.job_id == job_id)).one()
        results.append((frames, boxes, tracks, shards))
    (frames, boxes, joined, one), (cut_frames, cut_boxes, cut_joined, several) = results
    assert (one, several) == (1, 3)
    assert len(frames) == 67 and frames == cut_frames
    assert [row[:2] for row in boxes] == [row[:2] for row in cut_boxes]
    for row, cut_row in zip(boxes, cut_boxes, strict=True):
        assert row[2:] == pytest.approx(cut_row[2:], abs=1e-3)
    assert joined and joined == cut_joined


def test_a_frame_without_a_face_is_written_too(database: Database, networks: Engine, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "noise.mp4", panning_frames(noise_picture(), 10, size=(160, 96)))
    job_id = analysed(database, networks, [clip])
    with reading(database) as session:
        counts = session.scalars(select(Frame.faces)).all()
        status = job_status(session, job_id)
    assert list(counts) == [0] * 10
    assert (status.frames, status.faces) == (10, 0)


def test_a_video_that_vanished_fails_with_a_reason_after_a_while(
    database: Database, networks: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "gone.mp4", panning_frames(noise_picture(), 5))
    job_id, (shard_id,) = planned(database, [clip])
    clip.unlink()
    (tmp_path / "another.txt").touch()
    process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    monkeypatch.setattr(leases, "MISSING_S", 0.0)
    process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    finish(database, job_id)
    with reading(database) as session:
        status = job_status(session, job_id)
    assert status.state == "failed"
    assert [error["uri"] for error in status.errors] == [str(clip)] and "gone.mp4" in status.errors[0]["error"]


def test_a_cancelled_job_stops_in_the_middle_and_writes_nothing(
    database: Database, networks: Engine, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.lease.heartbeat.HEARTBEAT_S", 0.01)
    job_id, (shard_id,) = planned(database, [samples / "clip.mp4"])

    class CancelsOnSecondBatch:
        """The real engine; the job is cancelled between its batches."""

        description = networks.description
        at_once, in_flight, ahead_bytes = networks.at_once, 4, networks.ahead_bytes
        batches = 0
        start = networks.start
        crop = networks.crop

        def classify(self, faces):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            self.batches += 1
            if self.batches == 2:
                with writing(database) as session:
                    cancel_job(session, job_id)
            return networks.classify(faces)

    interrupted = CancelsOnSecondBatch()
    process_shard(database, Settings(), shard_id, "test", lambda _: interrupted)
    with reading(database) as session:
        assert session.scalars(select(func.count()).select_from(Frame)).one() == 0
        assert job_status(session, job_id).state == "cancelled"
    assert interrupted.batches < 4


def test_a_shard_that_another_worker_holds_is_left_alone(database: Database, networks: Engine, samples: Path) -> None:
    _, (shard_id,) = planned(database, [samples / "zidane.jpg"])
    with writing(database) as session:
        assert claim(session, shard_id, "another") is not None
    process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    with reading(database) as session:
        assert session.get_one(Shard, shard_id).worker == "another"
        assert session.scalars(select(func.count()).select_from(Face)).one() == 0


def test_networks_that_cannot_be_loaded_fail_the_shard_with_the_reason(database: Database, samples: Path) -> None:
    job_id, (shard_id,) = planned(database, [samples / "zidane.jpg"])

    def load(models: ModelSet) -> NoReturn:
        raise WeightsError("the weights are not there")

    process_shard(database, Settings(), shard_id, "test", load)
    finish(database, job_id)
    with reading(database) as session:
        status = job_status(session, job_id)
    assert status.state == "failed" and status.errors[0]["error"] == "the weights are not there"


def test_each_classifiers_own_scores_are_kept_on_request(
    database: Database, networks: Engine, models: ModelSet, samples: Path
) -> None:
    job_ids = [
        analysed(database, networks, [samples / "zidane.jpg"], BatchOptions(keep_member_scores=keep))
        for keep in (True, False)
    ]
    of_job = select(FaceScore).join(Media, Media.id == FaceScore.media_id)
    with reading(database) as session:
        kept, none = (session.scalars(of_job.where(Media.job_id == job_id)).all() for job_id in job_ids)
        faces = {
            face.face_index: face for face in session.scalars(select(Face).where(Face.media_id == kept[0].media_id))
        }
    assert len(kept) == 2 * len(models.members) and none == []
    for index, face in faces.items():
        scores = {row.model_id: [[getattr(row, name) for name in EMOTIONS]] for row in kept if row.face_index == index}
        outputs = np.array([scores[file.sha256[:12]] for file in models.members])
        ((*expected,),) = combine(outputs, models.shares, models.temperature)
        assert [getattr(face, name) for name in EMOTIONS] == pytest.approx(expected, abs=1e-5)


def test_a_second_attempt_replaces_each_classifiers_own_scores(
    database: Database, networks: Engine, models: ModelSet, samples: Path
) -> None:
    job_id, (shard_id,) = planned(database, [samples / "zidane.jpg"], BatchOptions(keep_member_scores=True))
    for _ in range(2):
        process_shard(database, Settings(), shard_id, "test", lambda _: networks)
        with writing(database) as session:
            assert session.scalars(select(func.count()).select_from(FaceScore)).one() == 2 * len(models.members)
            session.get_one(Shard, shard_id).state = "pending"
            for medium in session.scalars(select(Media)):
                medium.state = "pending"
    with reading(database) as session:
        assert job_status(session, job_id).ensembles == {store.shipped_name(models): 1}


def test_a_video_whose_times_repeat_is_cut_and_loses_no_frame(database: Database, tmp_path: Path) -> None:
    """A piece cannot tell from its own packets that the times are unreliable: the row of the video tells it."""
    path = write_clip(
        tmp_path / "a.mp4", panning_frames(noise_picture(), 40), pts=[n * n for n in range(40)], bframes=0
    )
    with_steps(path, [16 * step for step in [78, 0] * 20])
    job_id, ids = planned(database, [path], BatchOptions(shard_seconds=0.1))
    assert len(ids) > 2
    for shard_id in ids:
        process_shard(database, Settings(), shard_id, "test", lambda _: IdleEngine())
    finish(database, job_id)
    with reading(database) as session:
        rows = session.execute(select(Frame.frame_index, Frame.time_ms).order_by(Frame.frame_index)).all()
        status = job_status(session, job_id)
    assert [index for index, _ in rows] == list(range(40)) and status.errors == []
    assert [time for _, time in rows] == sorted(time for _, time in rows)


def test_frames_that_cannot_be_decoded_are_counted_in_a_note(database: Database, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", panning_frames(noise_picture(), 75), gop=25, bframes=0)
    with av.open(str(path)) as container:
        begin = [packet.pos for packet in container.demux(video=0) if packet.size][27]
    content = bytearray(path.read_bytes())
    assert begin is not None
    content[begin : begin + 1500] = bytes(1500)
    path.write_bytes(content)
    _, ids = planned(database, [path], BatchOptions(shard_seconds=1))
    for shard_id in ids:
        process_shard(database, Settings(), shard_id, "test", lambda _: IdleEngine())
    with reading(database) as session:
        frames = session.scalar(select(func.count()).select_from(Frame))
        (medium,) = session.scalars(select(Media))
    assert frames is not None and 50 <= frames < 75
    assert (medium.state, medium.error) == ("done", f"{75 - frames} of 75 frames could not be decoded")
