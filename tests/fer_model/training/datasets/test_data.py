import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fer_model.errors import TrainingDataError
from fer_model.training.classifier import train_classifier
from fer_model.training.datasets.data import read_faces, training_and_validation
from fer_model.training.definitions import ClassifierRun, Epoch
from tests.support.training_data import grey_picture, write_folders, write_table, write_votes

ROWS = [(0, "Training"), (3, "PublicTest"), (6, "Training"), (2, "PrivateTest"), (3, "Training")]
VOTES = (1, 2, 3, 4, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "fer2013.csv", ROWS)


@pytest.mark.parametrize("split", ["Training", "training", " TRAINING "])
@pytest.mark.parametrize("kept", [False, True])
def test_a_split_of_a_table_is_a_usage_in_upper_or_lower_case(
    table: Path, tmp_path: Path, split: str, kept: bool
) -> None:
    faces = read_faces(table, split, tmp_path / "cache" if kept else None)
    assert faces.labels.tolist() == [0, 6, 3]
    np.testing.assert_array_equal(faces.images, [grey_picture(row) for row in (0, 2, 4)])
    assert faces.images.dtype == np.uint8
    assert faces.labels.dtype == np.int64
    assert faces.votes is None


def test_a_table_trains_on_training_and_validates_on_public_test(table: Path) -> None:
    training, validation = training_and_validation(table)
    assert (training.labels.tolist(), validation.labels.tolist()) == ([0, 6, 3], [3])


def test_an_unknown_usage_and_a_missing_file_are_named(table: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError) as caught:
        read_faces(table, "test")
    found = "['PrivateTest', 'PublicTest', 'Training']"
    assert str(caught.value) == f"{table}: has no row whose Usage is 'test' (found {found})"
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(TrainingDataError, match=r"none\.csv: cannot be read .*No such file"):
            read_faces(tmp_path / "none.csv", "Training", cache)


@pytest.mark.parametrize("kept", [False, True])
def test_votes_beside_a_table_come_with_training_alone(table: Path, tmp_path: Path, kept: bool) -> None:
    write_votes(tmp_path / "fer2013new.csv", [(usage, VOTES) for _, usage in ROWS])
    cache = tmp_path / "cache" if kept else None
    training, validation = training_and_validation(table, cache)
    assert training.votes is not None
    assert training.votes.shape == (3, 7)
    assert training.votes.dtype == np.float32
    # All three faces got the same votes, and their labels are 0, 6 and 3.
    np.testing.assert_allclose(training.votes[:, [0, 3, 6]], 1 / 3, atol=0.02)
    assert validation.votes is None
    assert read_faces(table, "PrivateTest", cache).votes is None


def test_what_taggers_call_no_face_is_not_trained_on(table: Path, tmp_path: Path) -> None:
    no_face = [1, 0, 0, 0, 0, 0, 0, 0, 0, 9]
    training = [number for number, (_, usage) in enumerate(ROWS) if usage == "Training"]
    votes = [(usage, no_face if number == training[1] else VOTES) for number, (_, usage) in enumerate(ROWS)]
    write_votes(tmp_path / "fer2013new.csv", votes)
    faces = read_faces(table, "Training")
    assert faces.labels.tolist() == [0, 3]
    np.testing.assert_array_equal(faces.images, [grey_picture(row) for row in (training[0], training[2])])
    assert faces.votes is not None and faces.votes.shape == (2, 7)


@pytest.mark.parametrize("kept", [False, True])
def test_votes_for_another_number_of_rows_are_refused(table: Path, tmp_path: Path, kept: bool) -> None:
    votes = write_votes(tmp_path / "fer2013new.csv", [("Training", VOTES), ("PublicTest", VOTES), ("Training", VOTES)])
    with pytest.raises(TrainingDataError) as caught:
        training_and_validation(table, tmp_path / "cache" if kept else None)
    assert str(caught.value) == (
        f"{votes}: has 2 Training rows but fer2013.csv has 3; they do not belong together, move one away"
    )
    assert len(read_faces(table, "PublicTest").labels) == 1, "where votes are not used they do not matter"


def test_votes_that_come_later_are_noticed(table: Path, tmp_path: Path) -> None:
    assert read_faces(table, "Training", tmp_path / "cache").votes is None
    write_votes(tmp_path / "fer2013new.csv", [(usage, VOTES) for _, usage in ROWS])
    assert read_faces(table, "Training", tmp_path / "cache").votes is not None


def test_a_wrong_row_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    table = write_table(tmp_path / "fer2013.csv", [(0, "Training"), (7, "Training")])
    with pytest.raises(TrainingDataError) as caught:
        read_faces(table, "Training", tmp_path / "cache")
    assert str(caught.value) == f"{table}: row 3: the emotion '7' is not a number from 0 to 6"
    assert not list(tmp_path.glob("cache/training-data/*"))


def test_folders_give_the_same_faces_with_and_without_cache(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "data", {"train/happy": 2, "train/sad": 1, "test/happy": 1})
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        training, validation = training_and_validation(root, cache)
        assert (training.labels.tolist(), validation.labels.tolist()) == ([3, 3, 4], [3])
        np.testing.assert_array_equal(training.images, [grey_picture(seed) for seed in range(3)])
        np.testing.assert_array_equal(read_faces(root, "train", cache).images, training.images)
        np.testing.assert_array_equal(read_faces(root, "test", cache).images, [grey_picture(3)])


def test_pictures_of_another_size_are_refused_unless_told_to_resize(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "data", {"train/happy": 1, "val/happy": 1})
    Image.fromarray(grey_picture(9, 96)).save(root / "train" / "happy" / "large.png")
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(TrainingDataError, match=r"large\.png: has 96 x 96 pixels instead of 48 x 48; --resize"):
            training_and_validation(root, cache)
        training, _ = training_and_validation(root, cache, resize=True)
        assert training.images.shape == (2, 48, 48)
        with pytest.raises(TrainingDataError, match=r"large\.png"):
            training_and_validation(root, cache)


@pytest.mark.parametrize("layout", ["table", "folder"])
def test_a_network_trains_from_the_cache(tmp_path: Path, layout: str) -> None:
    """Memory-mapped arrays go through sampling, voting and validation without a warning."""
    if layout == "table":
        path = write_table(tmp_path / "fer2013.csv", [(row % 7, "Training") for row in range(16)] + [(1, "PublicTest")])
        write_votes(tmp_path / "fer2013new.csv", [("Training", VOTES)] * 16)
    else:
        path = write_folders(tmp_path / "data", {"angry": 10, "happy": 10})
    epochs: list[Epoch] = []
    training, validation = training_and_validation(path, tmp_path / "cache")
    assert isinstance(training.images, np.memmap)
    train_classifier(ClassifierRun("best", epochs=1, batch=8), training, validation, tmp_path / "run", epochs.append)
    assert np.isfinite(epochs[0].loss)
    assert 0 < (epochs[0].loading_seconds or 0) < epochs[0].seconds


def test_the_real_table_gives_votes_that_know_more_than_labels(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    cache = tmp_path_factory.mktemp("real")
    training, validation = training_and_validation(shared_data / "fer2013" / "fer2013.csv.xz", cache)
    assert training.images.shape == (28559, 48, 48), "150 rows are no face by FER+"
    assert np.bincount(training.labels).tolist() == [3969, 435, 4079, 7188, 4795, 3161, 4932]
    assert len(validation.labels) == 3589
    assert training.votes is not None
    np.testing.assert_allclose(training.votes.sum(1), 1, atol=1e-5)
    # Taggers and labels agree on about two thirds of the faces.
    assert 0.6 < (training.votes.argmax(1) == training.labels).mean() < 0.8
    assert not caplog.records
    again = read_faces(shared_data / "fer2013" / "fer2013.csv.xz", "training", cache)
    assert torch.equal(torch.from_numpy(again.images[:99]), torch.from_numpy(training.images[:99]))
    assert len(list(cache.glob("training-data/*"))) == 2
