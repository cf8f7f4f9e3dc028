"""FER-2013 in Kaggle's format: a CSV with the columns emotion, pixels and Usage."""

import bz2
import csv
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fer_model.errors import TrainingDataError
from fer_model.preprocess import FACE_SIZE
from fer_model.types import EMOTIONS

COLUMNS = ("emotion", "pixels", "Usage")


@dataclass(frozen=True, slots=True)
class LabelledFaces:
    """Faces with one emotion each: `images` (N, 48, 48) grey 0..255, `labels` (N,) indices into `EMOTIONS`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_fer2013(path: Path, usage: str) -> LabelledFaces:
    """The rows of one `Usage` (Training, PublicTest, PrivateTest), from .csv, .gz, .bz2, .xz or .zip.

    Raises:
        TrainingDataError: the file or a row is not as it should be; names the row (1 is the header).
    """
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    with _open_text(path) as file:
        reader = csv.DictReader(file)
        names = {name.strip(): name for name in reader.fieldnames or ()}
        if absent := [column for column in COLUMNS if column not in names]:
            raise TrainingDataError(f"{path}: the column {absent[0]!r} is missing (found {sorted(names)})")
        emotion, pixels, usages = (names[column] for column in COLUMNS)
        for number, row in enumerate(reader, start=2):
            if row[usages] == usage:
                labels.append(_label(path, number, row[emotion]))
                images.append(_pixels(path, number, row[pixels]))
    if not labels:
        raise TrainingDataError(f"{path}: has no row whose Usage is {usage!r}")
    return LabelledFaces(np.stack(images), np.array(labels, np.int64))


def _label(path: Path, row: int, text: str | None) -> int:
    if text is None or not text.isdecimal() or int(text) >= len(EMOTIONS):
        raise TrainingDataError(f"{path}: row {row}: the emotion {text!r} is not a number from 0 to 6")
    return int(text)


def _pixels(path: Path, row: int, text: str | None) -> NDArray[np.uint8]:
    try:
        values = np.array((text or "").split(), np.uint8)
    except (ValueError, OverflowError) as error:
        raise TrainingDataError(f"{path}: row {row}: a pixel is not a number from 0 to 255") from error
    if values.size != FACE_SIZE**2:
        raise TrainingDataError(f"{path}: row {row}: {values.size} pixels instead of {FACE_SIZE**2}")
    return values.reshape(FACE_SIZE, FACE_SIZE)


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    csv.field_size_limit(sys.maxsize)
    openers: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                name = next((name for name in archive.namelist() if name.endswith(".csv")), None)
                if name is None:
                    raise TrainingDataError(f"{path}: holds no .csv")
                with archive.open(name) as raw, io.TextIOWrapper(raw) as file:
                    yield file
        else:
            with openers.get(path.suffix, open)(path, "rt") as file:
                yield file
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{path}: cannot be read ({error})") from error
