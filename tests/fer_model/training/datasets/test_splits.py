import logging
from collections import Counter
from pathlib import Path

import pytest

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.image_folder import CLASSES, LabelledPath
from fer_model.training.datasets.splits import split_pictures, training_and_validation_pictures
from tests.support.training_data import write_folders


def parts(root: Path, pictures: list[LabelledPath]) -> set[str]:
    """The folders, without class and file, that pictures come from."""
    return {path.relative_to(root).parent.parent.as_posix() for path, _ in pictures}


@pytest.mark.parametrize(
    ("folders", "split", "found"),
    [
        (("train", "test"), "train", "train"),
        (("train", "test"), "Training", "train"),
        (("training", "test"), "train", "training"),
        (("Training", "PublicTest", "PrivateTest"), "Training", "Training"),
        (("Training", "PublicTest", "PrivateTest"), "PublicTest", "PublicTest"),
        (("Training", "PublicTest", "PrivateTest"), "privatetest", "PrivateTest"),
        (("Training", "PublicTest", "PrivateTest"), "validation", "PublicTest"),
        (("Training", "PublicTest", "PrivateTest"), "test", "PrivateTest"),
        (("Training", "Public_Test", "Private_Test"), "PrivateTest", "Private_Test"),
        (("train", "private-test"), "PrivateTest", "private-test"),
        (("train", "val", "test"), "PublicTest", "val"),
        (("train", "val", "test"), "PrivateTest", "test"),
        (("train", "val"), "PublicTest", "val"),
        (("train", "valid"), "val", "valid"),
        (("train", "test"), "test", "test"),
        (("Train", "TEST"), "test", "TEST"),
        (("val", "valid", "train"), "valid", "valid"),
        (("val", "validation"), "VAL", "val"),
        (("Train", "train"), "train", "train"),
        (("one", "two"), "two", "two"),
        (("train",), "train", "train"),
        (("archive/train", "archive/test"), "train", "archive/train"),
        (("a/b/train", "a/b/test"), "test", "a/b/test"),
        (("train/train", "test/test"), "test", "test/test"),
    ],
)
def test_a_split_is_found_by_its_name_or_another_word_for_it(
    tmp_path: Path, folders: tuple[str, ...], split: str, found: str
) -> None:
    write_folders(tmp_path, {f"{folder}/happy": 1 for folder in folders})
    assert parts(tmp_path, split_pictures(tmp_path, split)) == {found}


HINT = "; without a validation folder, test may be PublicTest and PrivateTest together"


@pytest.mark.parametrize(
    ("folders", "split", "complaint"),
    [
        (("train", "test"), "val", "has no split 'val' (found 'test', 'train')"),
        (("train", "test"), "all", "has no split 'all' (found 'test', 'train')"),
        (("train", "test"), "PublicTest", f"has no split 'PublicTest' (found 'test', 'train'){HINT}"),
        (("train", "test"), "PrivateTest", f"has no split 'PrivateTest' (found 'test', 'train'){HINT}"),
        (("train", "val"), "PrivateTest", "has no split 'PrivateTest' (found 'train', 'val')"),
        (("one", "two"), "three", "has no split 'three' (found 'one', 'two')"),
        (("val", "valid"), "validation", "'validation' could be any of 'val', 'valid'"),
        (("Test", "TEST"), "test", "'test' could be any of 'TEST', 'Test'"),
        ((".",), "train", "has no split 'train' (found 'all')"),
        ((".",), "PrivateTest", "has no split 'PrivateTest' (found 'all')"),
    ],
)
def test_a_split_that_is_not_there_or_not_clear_is_refused(
    tmp_path: Path, folders: tuple[str, ...], split: str, complaint: str
) -> None:
    write_folders(tmp_path, {f"{folder}/happy": 1 for folder in folders})
    with pytest.raises(TrainingDataError) as caught:
        split_pictures(tmp_path, split)
    assert str(caught.value) == f"{tmp_path}: {complaint}"


@pytest.mark.parametrize("around", ["", "archive/", "a/b/"])
def test_plain_class_folders_are_the_split_all(tmp_path: Path, around: str) -> None:
    write_folders(tmp_path, {f"{around}happy": 2, f"{around}sad": 1})
    pictures = split_pictures(tmp_path, "all")
    assert [label for _, label in pictures] == [3, 3, 4]


@pytest.mark.parametrize(
    ("folders", "found"),
    [((), "no folder"), (("one", "two"), "'one', 'two'"), (("one/contempt", "two/contempt"), "'one', 'two'")],
)
def test_a_folder_without_splits_and_classes_is_refused(tmp_path: Path, folders: tuple[str, ...], found: str) -> None:
    write_folders(tmp_path, dict.fromkeys(folders, 1))
    with pytest.raises(TrainingDataError) as caught:
        split_pictures(tmp_path, "train")
    known = ", ".join(CLASSES)
    assert str(caught.value) == (
        f"{tmp_path}: holds neither class folders nor splits (found {found}); known emotions are {known}"
    )


@pytest.mark.parametrize("folders", [("train/happy", "train/contempt"), ("happy", "contempt"), ("train/contempt",)])
def test_an_unknown_class_is_refused_wherever_it_is(tmp_path: Path, folders: tuple[str, ...]) -> None:
    write_folders(tmp_path, dict.fromkeys(folders, 1))
    with pytest.raises(TrainingDataError, match="contempt: the folder's name is no known emotion; known emotions are"):
        split_pictures(tmp_path, "train" if "train" in folders[0] else "all")


@pytest.mark.parametrize(
    ("folders", "training", "validation"),
    [
        (("train", "val", "test"), "train", "val"),
        (("train", "valid", "test"), "train", "valid"),
        (("training", "validation"), "training", "validation"),
        (("Training", "PublicTest", "PrivateTest"), "Training", "PublicTest"),
        (("archive/train", "archive/test"), "archive/train", "archive/test"),
    ],
)
def test_training_and_validation_are_found(
    tmp_path: Path, folders: tuple[str, ...], training: str, validation: str
) -> None:
    write_folders(tmp_path, {f"{folder}/happy": 1 for folder in folders})
    both = training_and_validation_pictures(tmp_path)
    assert [parts(tmp_path, pictures) for pictures in both] == [{training}, {validation}]


def test_choosing_on_test_pictures_is_said_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classes = [name for name in CLASSES if name.isdecimal()]
    write_folders(tmp_path, {f"{folder}/{name}": 1 for folder in ("train", "test") for name in classes})
    with caplog.at_level(logging.WARNING):
        training_and_validation_pictures(tmp_path)
    (record,) = caplog.records
    assert record.getMessage() == (f"{tmp_path}: has no validation folder; the epoch is chosen on the test pictures")


@pytest.mark.parametrize("around", ["", "faces/", "train/"])
def test_without_a_validation_folder_every_tenth_picture_of_each_emotion_is_held_out(
    tmp_path: Path, around: str
) -> None:
    write_folders(tmp_path, {f"{around}happy": 31, f"{around}sad": 20, f"{around}fear": 9})
    training, validation = training_and_validation_pictures(tmp_path)
    assert Counter(label for _, label in training) == {3: 28, 4: 18, 2: 9}
    assert Counter(label for _, label in validation) == {3: 3, 4: 2}
    assert [path.name for path, label in validation if label == 3] == ["009.png", "019.png", "029.png"]
    assert not set(training) & set(validation)
    assert training_and_validation_pictures(tmp_path) == (training, validation), "the same each time"


def test_too_few_pictures_to_hold_out_any_are_refused(tmp_path: Path) -> None:
    write_folders(tmp_path, {"happy": 9, "sad": 9})
    with pytest.raises(TrainingDataError) as caught:
        training_and_validation_pictures(tmp_path)
    assert str(caught.value) == f"{tmp_path}: no emotion has 10 pictures, too few to hold out one in 10"


def test_test_pictures_alone_are_nothing_to_train_on(tmp_path: Path) -> None:
    write_folders(tmp_path, {"test/happy": 1, "val/happy": 1})
    with pytest.raises(TrainingDataError, match=r"has no split 'training' \(found 'test', 'val'\)"):
        training_and_validation_pictures(tmp_path)
