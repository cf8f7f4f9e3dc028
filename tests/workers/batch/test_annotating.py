"""Annotated and anonymised media, from what a worker found to what a detector finds in the result."""

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import delete, select

from fer_model.boxes import iou
from fer_model.engines import Engine
from fer_model.networks.manifest import ModelSet
from fer_model.preprocess import face_square
from fer_model.rendering.anonymise import How
from fer_model.rendering.palette import COLOURS
from fer_model.samples import write_clip
from fer_model.sources import open_source
from fer_model.sources.images import read_picture
from fer_model.types import Box, Image
from results.database import reading, writing
from results.read.face_filter import FaceFilter
from results.tables import Face, Frame, Media
from tests.support.clips import write_clip as write_pictures
from tests.support.faces import detected
from tests.support.planning import analysed, planned
from workers import retention
from workers.batch.annotating import Annotated, annotate_job
from workers.batch.coverage import NOT_ALL
from workers.batch.crops import MARGIN
from workers.batch.planning import BatchOptions
from workers.batch.processing import process_shard
from workers.settings import Settings

pytestmark = pytest.mark.usefixtures("cache")
SECONDS = 1.0


@pytest.fixture(scope="module")
def media(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A clip that pans over two faces, a photograph, and a damaged video."""
    folder = tmp_path_factory.mktemp("annotated")
    write_clip(folder / "moving.mp4", [samples / "zidane.jpg"], SECONDS)
    (folder / "broken.mp4").write_text("no video")
    return [folder / "moving.mp4", samples / "zidane.jpg", folder / "broken.mp4"]


def name(medium: Media) -> str:
    return Path(medium.uri).stem


def annotated(
    database: Database, job_id: str, folder: Path, anonymise: How | None, face_filter: FaceFilter
) -> list[Annotated]:
    folder.mkdir()
    with reading(database) as session:
        return list(
            annotate_job(session, job_id, folder, face_filter=face_filter, anonymise=anonymise, roots=(), name=name)
        )


def pictures(clip: Path, photograph: Path) -> list[Image]:
    """All frames of a video, and a photograph."""
    sources = open_source(str(clip), kind="video"), open_source(str(photograph), kind="image")
    return [frame.image for source in sources for frame in source]


def overlap(boxes: list[Box], others: list[Box]) -> bool:
    return bool(others) and bool(iou(np.array(boxes), np.array(others)).any())


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", get_args(How))
def test_no_face_is_found_any_more_also_between_the_frames_looked_at(
    database: Database, networks: Engine, media: list[Path], tmp_path: Path, how: How
) -> None:
    # Five of twenty-five frames a second are analysed.
    job_id = analysed(database, networks, media, BatchOptions(every=5))
    # The filter limits boxes alone: a face without a box is hidden nevertheless.
    done = annotated(database, job_id, tmp_path / "hidden", how, FaceFilter(min_confidence=1.0))
    assert [Path(each.path or "").name for each in done] == ["moving.mp4", "zidane.jpg"]
    found = pictures(tmp_path / "hidden" / "moving.mp4", tmp_path / "hidden" / "zidane.jpg")
    assert len(found) == SECONDS * 25 + 1
    before, after = ([detected(networks, image) for image in each] for each in (pictures(*media[:2]), found))
    assert all(before), "they were there before"
    # What the detector takes for a face elsewhere, such as a blurred crowd, differs between processors.
    still = [n for n, (here, there) in enumerate(zip(before, after, strict=True)) if overlap(here, there)]
    assert still == []


def test_boxes_are_drawn_around_faces(database: Database, networks: Engine, media: list[Path], tmp_path: Path) -> None:
    job_id = analysed(database, networks, media[1:2], BatchOptions())
    (done,) = annotated(database, job_id, tmp_path / "drawn", None, FaceFilter())
    after = next(open_source(str(done.path), kind="image")).image.astype(int)
    with reading(database) as session:
        faces = session.scalars(select(Face)).all()
    assert len(faces) == 2
    for face in faces:
        edge = after[round(face.y1) + 20 : round(face.y2) - 20, round(face.x1)]
        assert (np.abs(edge - COLOURS[face.emotion]).max(axis=1) < 70).mean() > 0.9, "the left edge of the box"


def test_a_file_that_has_gone_is_said_to_have(
    database: Database, networks: Engine, media: list[Path], tmp_path: Path
) -> None:
    photograph = tmp_path / "gone.jpg"
    photograph.write_bytes(media[1].read_bytes())
    job_id = analysed(database, networks, [photograph, media[1]], BatchOptions())
    photograph.unlink()
    gone, there = annotated(database, job_id, tmp_path / "out", None, FaceFilter())
    assert (gone.path, gone.error) == (None, f"{photograph}: does not exist")
    assert there.path is not None and there.path.exists()


def test_crops_are_kept_only_where_that_is_asked_for(
    database: Database, networks: Engine, media: list[Path], tmp_path: Path
) -> None:
    crops = tmp_path / "crops"
    analysed(database, networks, media[1:2], BatchOptions())
    assert not crops.exists()
    job_id = analysed(database, networks, media[:2], BatchOptions(every=10, keep_crops=str(crops)))
    with reading(database) as session:
        keys = (Face.media_id, Face.frame_index, Face.face_index)
        rows = session.execute(select(*keys).join(Media, Media.id == Face.media_id).where(Media.job_id == job_id)).all()
    names = {f"{medium}/{index:08d}-{face:03d}.jpg" for medium, index, face in rows}
    found = {str(path.relative_to(crops / job_id)) for path in (crops / job_id).rglob("*.jpg")}
    assert found == names and len(found) > 4
    modes = {path.stat().st_mode & 0o777 for path in crops.rglob("*") if path.is_file()}
    assert modes == {0o600} and {path.stat().st_mode & 0o777 for path in crops.rglob("*") if path.is_dir()} == {0o700}
    assert all(min(read_picture(str(path)).shape[:2]) > 40 for path in (crops / job_id).rglob("*.jpg"))


def test_crops_of_a_large_photograph_show_its_faces(
    database: Database, networks: Engine, samples: Path, tmp_path: Path
) -> None:
    large = np.repeat(np.repeat(read_picture(str(samples / "zidane.jpg")), 4, axis=0), 4, axis=1)
    cv2.imwrite(str(tmp_path / "large.jpg"), large[..., ::-1])
    job_id = analysed(database, networks, [tmp_path / "large.jpg"], BatchOptions(keep_crops=str(tmp_path / "crops")))
    with reading(database) as session:
        faces = session.scalars(select(Face).join(Media, Media.id == Face.media_id).where(Media.job_id == job_id)).all()
    assert len(faces) == 2
    for face in faces:
        crop = read_picture(str(next((tmp_path / "crops" / job_id).rglob(f"*-{face.face_index:03d}.jpg"))))
        left, top, side = face_square(np.array((face.x1, face.y1, face.x2, face.y2), np.float32), MARGIN)
        shown = large[max(top, 0) : top + side, max(left, 0) : left + side]
        assert crop.shape[0] < shown.shape[0], "it was read at a part of its size"
        assert np.abs(cv2.resize(shown, crop.shape[1::-1]).astype(int) - crop).mean() < 8


def test_a_job_that_is_deleted_while_it_is_worked_on_leaves_no_crops(
    database: Database, networks: Engine, media: list[Path], tmp_path: Path
) -> None:
    crops = tmp_path / "crops"
    job_id, (shard_id,) = planned(database, media[1:2], BatchOptions(keep_crops=str(crops)))

    def deleted_meanwhile(_: ModelSet) -> Engine:
        retention.remove(database, job_id, ())
        return networks

    process_shard(database, Settings(), shard_id, "test", deleted_meanwhile)
    assert not (crops / job_id).exists()


def test_nothing_is_anonymised_of_which_a_part_was_not_looked_at(
    database: Database, media: list[Path], tmp_path: Path
) -> None:
    job_id, _ = planned(database, media[:1], BatchOptions())
    (refused,) = annotated(database, job_id, tmp_path / "hidden", "blur", FaceFilter())
    assert refused.path is None and refused.error == f"{media[0]}: {NOT_ALL}"
    assert not any((tmp_path / "hidden").iterdir())
    (drawn,) = annotated(database, job_id, tmp_path / "drawn", None, FaceFilter())
    assert drawn.path is not None and drawn.path.exists(), "boxes hide nothing, so a part of them is no danger"


def joined(folder: Path, samples: Path) -> Path:
    """Two recordings of a face in other places, with the same timestamps, one after the other."""
    picture = read_picture(str(samples / "zidane.jpg"))
    parts = []
    for number, shown in enumerate((picture[:, :640], picture[:, 640:])):
        frames = [cv2.resize(shown, (640, 720)).astype(np.uint8)] * 10
        parts.append(write_pictures(folder / f"{number}.ts", frames).read_bytes())
    (folder / "joined.ts").write_bytes(b"".join(parts))
    return folder / "joined.ts"


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("every", [1, 4])
def test_no_face_of_a_joined_recording_stays_visible(
    database: Database, networks: Engine, samples: Path, tmp_path: Path, every: int
) -> None:
    film = joined(tmp_path, samples)
    job_id = analysed(database, networks, [film], BatchOptions(every=every))
    (done,) = annotated(database, job_id, tmp_path / "hidden", "blur", FaceFilter())
    found = [frame.image for frame in open_source(str(done.path), kind="video")]
    assert len(found) == 20
    assert [detected(networks, image) for image in found] == [[]] * 20


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
def test_a_film_of_which_one_frame_was_not_looked_at_is_left_out(
    database: Database, networks: Engine, samples: Path, tmp_path: Path
) -> None:
    film = joined(tmp_path, samples)
    job_id = analysed(database, networks, [film], BatchOptions())
    with writing(database) as session:
        session.execute(delete(Face).where(Face.frame_index == 13))
        session.execute(delete(Frame).where(Frame.frame_index == 13))
    (refused,) = annotated(database, job_id, tmp_path / "hidden", "blur", FaceFilter())
    assert refused.path is None and refused.error == f"{film}: {NOT_ALL}"
    assert not any((tmp_path / "hidden").iterdir())


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
def test_what_the_nearest_frames_are_is_known_from_the_file(
    database: Database, networks: Engine, media: list[Path], tmp_path: Path
) -> None:
    job_id = analysed(database, networks, media[:1], BatchOptions(fps=5, nearest=True))
    (done,) = annotated(database, job_id, tmp_path / "hidden", "blur", FaceFilter())
    before, after = (
        [detected(networks, frame.image) for frame in open_source(path, kind="video")]
        for path in (str(media[0]), str(done.path))
    )
    assert all(before) and len(before) == len(after)
    # A blurred background may look like a face to the detector; none may be where there was one.
    pairs = [pair for pair in zip(before, after, strict=True) if pair[1]]
    assert not [pair for pair in pairs if iou(*(np.array(boxes) for boxes in pair)).any()]
    with writing(database) as session:
        looked_at = session.scalars(select(Frame.frame_index).order_by(Frame.frame_index)).all()
        assert len(looked_at) == 6
        session.execute(delete(Frame).where(Frame.frame_index == looked_at[2]))
        session.execute(delete(Face).where(Face.frame_index == looked_at[2]))
    (refused,) = annotated(database, job_id, tmp_path / "refused", "blur", FaceFilter())
    assert refused.error == f"{media[0]}: {NOT_ALL}"
