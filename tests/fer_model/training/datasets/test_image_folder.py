import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fer_model.errors import TrainingDataError
from fer_model.preprocess import crop_face
from fer_model.training.datasets.image_folder import CLASSES, class_pictures, decode_pictures
from fer_model.types import EMOTIONS
from tests.support.clips import noise_picture
from tests.support.training_data import grey_picture, write_folders

KNOWN = f"known emotions are {', '.join(CLASSES)}"


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        *((emotion, emotion) for emotion in EMOTIONS),
        *((str(label), emotion) for label, emotion in enumerate(EMOTIONS)),
        ("Anger", "angry"),
        ("DISGUSTED", "disgust"),
        ("fearful", "fear"),
        ("Afraid", "fear"),
        ("Happiness", "happy"),
        ("Sadness ", "sad"),
        ("Surprised", "surprise"),
        ("neutrality", "neutral"),
    ],
)
def test_class_folders_have_the_usual_names(tmp_path: Path, name: str, emotion: str) -> None:
    write_folders(tmp_path, {name: 1})
    assert class_pictures(tmp_path) == [(tmp_path / name / "000.png", EMOTIONS.index(emotion))]


@pytest.mark.parametrize("name", ["contempt", "7", "-1", "angryy", "0_angry"])
def test_an_unknown_class_folder_is_named_with_those_that_are_known(tmp_path: Path, name: str) -> None:
    write_folders(tmp_path, {"happy": 1, name: 1})
    with pytest.raises(TrainingDataError) as caught:
        class_pictures(tmp_path)
    assert str(caught.value) == f"{tmp_path / name}: the folder's name is no known emotion; {KNOWN}"


def test_pictures_come_sorted_whatever_lies_beside_them(tmp_path: Path) -> None:
    write_folders(tmp_path, {"sad/deeper": 1, "anger": 1, "angry": 2})
    (tmp_path / "angry" / "Thumbs.db").write_text("x")
    (tmp_path / "angry" / "._000.png").write_text("x")
    (tmp_path / "angry" / "folder.png").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "readme.txt").write_text("x")
    found = [(path.relative_to(tmp_path).as_posix(), label) for path, label in class_pictures(tmp_path)]
    assert found == [("anger/000.png", 0), ("angry/000.png", 0), ("angry/001.png", 0), ("sad/deeper/000.png", 4)]


def test_emotions_without_pictures_are_said_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_folders(tmp_path, {"angry": 1, "fear": 1, "happy": 1, "sad": 0, "surprise": 1, "neutral": 1})
    with caplog.at_level(logging.WARNING):
        class_pictures(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path}: has no pictures of disgust, sad"]


@pytest.mark.parametrize("names", [(), ("happy",), ("happy", "sad")])
def test_no_pictures_at_all_is_an_error(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_folders(tmp_path, dict.fromkeys(names, 0))
    with pytest.raises(TrainingDataError) as caught:
        class_pictures(tmp_path)
    assert str(caught.value) == f"{tmp_path}: holds no pictures in class folders; {KNOWN}"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"none: cannot be read .*No such file"):
        class_pictures(tmp_path / "none")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_grey_pictures_are_decoded_as_they_are(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(every_grey := np.arange(2304).reshape(48, 48).astype(np.uint8)).save(tmp_path / f"a{suffix}")
    faces = decode_pictures([(tmp_path / f"a{suffix}", 3)], resize=False)
    np.testing.assert_array_equal(faces.images, [every_grey])
    assert faces.labels.tolist() == [3]
    assert faces.labels.dtype == np.int64
    assert faces.images.dtype == np.uint8


def test_colour_becomes_grey_as_in_inference(tmp_path: Path) -> None:
    picture = noise_picture(48, 48)
    Image.fromarray(picture).save(path := tmp_path / "a.png")
    face = decode_pictures([(path, 0)], resize=False).images[0]
    np.testing.assert_array_equal(face, crop_face(picture, np.array([0, 0, 48, 48], np.float32), 0.0))
    np.testing.assert_array_equal(face, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize("size", [(49, 48), (48, 47), (96, 96), (1, 1)])
def test_another_size_is_refused_with_what_would_help(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size).save(path := tmp_path / "a.png")
    with pytest.raises(TrainingDataError) as caught:
        decode_pictures([(path, 0)], resize=False)
    message = f"{path}: has {size[0]} x {size[1]} pixels instead of 48 x 48; --resize would make it fit"
    assert str(caught.value) == message


def test_resizing_averages_areas_and_interpolates_linearly(tmp_path: Path) -> None:
    for name, side in (("large", 96), ("small", 20), ("right", 48)):
        Image.fromarray(grey_picture(0, side)).save(tmp_path / f"{name}.png")
    pictures = [(tmp_path / f"{name}.png", 0) for name in ("large", "small", "right")]
    large, small, right = decode_pictures(pictures, resize=True).images
    areas = grey_picture(0, 96).reshape(48, 2, 48, 2).mean((1, 3))
    np.testing.assert_allclose(large, areas, atol=0.6)
    expected = cv2.resize(grey_picture(0, 20), (48, 48), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(small, expected)
    np.testing.assert_array_equal(right, grey_picture(0))


@given(width=st.integers(1, 130), height=st.integers(1, 130))
def test_any_size_can_be_resized(tmp_path_factory: pytest.TempPathFactory, width: int, height: int) -> None:
    path = tmp_path_factory.getbasetemp() / "any.png"
    Image.new("L", (width, height), 77).save(path)
    faces = decode_pictures([(path, 0)], resize=True)
    assert faces.images.shape == (1, 48, 48)
    assert (faces.images == 77).all()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"GIF? no, nothing of the kind", "is not a picture (unknown format)"),
        (None, "is truncated"),
    ],
)
def test_an_unreadable_picture_is_named(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    Image.fromarray(noise_picture(48, 48)).save(path := tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:900] if content is None else content)
    with pytest.raises(TrainingDataError) as caught:
        decode_pictures([(path, 0)], resize=False)
    assert str(caught.value) == f"{path}: {complaint}"
