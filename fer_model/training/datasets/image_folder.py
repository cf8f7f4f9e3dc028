"""Faces as picture files in one folder per emotion, as torchvision's `ImageFolder` has them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_model.errors import TrainingDataError, UnreadableMediaError
from fer_model.preprocess import FACE_SIZE, crop_face
from fer_model.sources.discover import kind_of
from fer_model.sources.images import read_picture
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.types import EMOTIONS

logger = logging.getLogger(__name__)

LabelledPath = tuple[Path, int]
"""A picture file and its index into `EMOTIONS`."""

SYNONYMS = {
    "angry": ("anger",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid"),
    "happy": ("happiness", "joy"),
    "sad": ("sadness",),
    "surprise": ("surprised",),
    "neutral": ("neutrality",),
}
CLASSES = {name: label for label, emotion in enumerate(EMOTIONS) for name in (emotion, *SYNONYMS[emotion], str(label))}
"""Class folders by their names in lower case."""

KNOWN_CLASSES = f"known emotions are {', '.join(CLASSES)}"


def class_pictures(folder: Path) -> list[LabelledPath]:
    """The pictures below the class folders, sorted; enclosing folders are searched.

    Logs which emotions have no pictures.

    Raises:
        TrainingDataError: an unknown class folder, or no pictures at all.
    """
    below = subfolders(folder)
    if len(below) == 1 and folder_label(below[0]) is None and subfolders(below[0]):
        return class_pictures(below[0])
    pictures = [picture for each in below for picture in _pictures_of_one_class(each)]
    if not pictures:
        raise TrainingDataError(f"{folder}: holds no pictures in class folders; {KNOWN_CLASSES}")
    present = {label for _, label in pictures}
    if absent := [emotion for label, emotion in enumerate(EMOTIONS) if label not in present]:
        logger.warning("%s: has no pictures of %s", folder, ", ".join(absent))
    return pictures


def decode_pictures(pictures: Sequence[LabelledPath], resize: bool) -> LabelledFaces:
    """Decodes files to 48x48 grey as inference does; with `resize` from any size, else only from 48x48.

    A picture that is not square becomes so by repeating its edge. Raises `TrainingDataError`
    naming the picture that is unreadable or of another size.
    """
    images = np.empty((len(pictures), FACE_SIZE, FACE_SIZE), np.uint8)
    for row, (path, _) in enumerate(pictures):
        images[row] = _face(path, resize)
    return LabelledFaces(images, np.array([label for _, label in pictures], np.int64))


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted, without hidden ones and those of archivers (`__MACOSX`)."""
    try:
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__")))
    except OSError as error:
        raise TrainingDataError(f"{folder}: cannot be read ({error})") from error


def folder_label(folder: Path) -> int | None:
    """The index into `EMOTIONS` of a class folder; None if its name is no emotion's."""
    return CLASSES.get(folder.name.strip().lower())


def _pictures_of_one_class(folder: Path) -> list[LabelledPath]:
    if (label := folder_label(folder)) is None:
        raise TrainingDataError(f"{folder}: the folder's name is no known emotion; {KNOWN_CLASSES}")
    return [(path, label) for path in sorted(folder.rglob("*")) if is_picture(path)]


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its name; those of macOS' metadata (`._a.jpg`) are none."""
    return kind_of(path.name) == "image" and not path.name.startswith(".") and path.is_file()


def _face(path: Path, resize: bool) -> NDArray[np.uint8]:
    try:
        image = read_picture(str(path))
    except UnreadableMediaError as error:
        raise TrainingDataError(str(error)) from error
    height, width = image.shape[:2]
    if not resize and (height, width) != (FACE_SIZE, FACE_SIZE):
        raise TrainingDataError(
            f"{path}: has {width} x {height} pixels instead of {FACE_SIZE} x {FACE_SIZE}; --resize would make it fit"
        )
    return crop_face(image, np.array([0, 0, width, height], np.float32), 0.0)
