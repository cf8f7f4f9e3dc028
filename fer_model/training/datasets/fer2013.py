"""FER-2013 in Kaggle's format: a CSV with the columns emotion, pixels and Usage."""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from fer_model.errors import TrainingDataError
from fer_model.preprocess import FACE_SIZE
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.types import EMOTIONS

COLUMNS = ("emotion", "pixels", "Usage")
TABLES = ("fer2013.csv", "icml_face_data.csv")
"""The table's name in an archive with other tables."""
ENCODING = "utf-8-sig"
"""UTF-8 with a byte order mark, as spreadsheets write it, or without."""
FIELD_LIMIT = 2**20
"""Characters in a field: enough for 512 x 512 pixels, so that the error is about the size. Python's limit is 2**17."""
UNREADABLE = (
    OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, zlib.error, zipfile.BadZipFile,
    RuntimeError,  # an archive with a password, or with a compression that Python does not support
)  # fmt: skip


def read_fer2013(path: Path, usage: str) -> LabelledFaces:
    """The rows of one `Usage` (Training, PublicTest, PrivateTest; any case), from .csv, .gz, .bz2, .xz or .zip.

    Raises:
        TrainingDataError: the file or a row is invalid; names the row (1 is the header).
    """
    pixels, labels, found = bytearray(), [], set()
    with _open_text(path) as file:
        for number, emotion, picture, its_usage in _rows(path, file):
            found.add(its_usage)
            if its_usage.lower() == usage.strip().lower():
                labels.append(_label(path, number, emotion))
                pixels += _pixels(path, number, picture)
    if not labels:
        raise TrainingDataError(f"{path}: has no row whose Usage is {usage!r} (found {sorted(found)[:5]})")
    images = np.frombuffer(pixels, np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE)
    return LabelledFaces(images, np.array(labels, np.int64))


def _rows(path: Path, file: IO[str]) -> Iterator[tuple[int, str, str, str]]:
    """Row number, emotion, pixels and Usage of every row. The columns may stand in any order, with spaces around."""
    reader = csv.DictReader(file, restval="")
    limit = csv.field_size_limit(FIELD_LIMIT)
    try:
        names = {name.strip(): name for name in reader.fieldnames or ()}
        if absent := [column for column in COLUMNS if column not in names]:
            raise TrainingDataError(f"{path}: the column {absent[0]!r} is missing (found {sorted(names)})")
        for row in reader:
            emotion, pixels, usage = (row[names[column]].strip() for column in COLUMNS)
            if not usage:
                raise TrainingDataError(f"{path}: row {reader.line_num}: the Usage is empty")
            # The line, not a count of rows: the reader skips empty lines, a spreadsheet counts them.
            yield reader.line_num, emotion, pixels, usage
    except csv.Error as error:
        raise TrainingDataError(f"{path}: row {reader.line_num + 1}: is not CSV ({error})") from error
    finally:
        csv.field_size_limit(limit)


def _label(path: Path, row: int, text: str) -> int:
    if text not in map(str, range(len(EMOTIONS))):
        raise TrainingDataError(f"{path}: row {row}: the emotion {text!r} is not a number from 0 to 6")
    return int(text)


def _pixels(path: Path, row: int, text: str) -> bytes:
    try:
        values = bytes(map(int, text.split()))
    except ValueError as error:
        raise TrainingDataError(f"{path}: row {row}: a pixel is not a number from 0 to 255") from error
    if len(values) != FACE_SIZE**2:
        raise TrainingDataError(
            f"{path}: row {row}: {len(values)} pixels instead of {FACE_SIZE**2} ({FACE_SIZE} x {FACE_SIZE})"
        )
    return values


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    openers: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
    suffix = path.suffix.lower()
    try:
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(path, archive)) as raw:
                yield io.TextIOWrapper(raw, ENCODING, newline="")
        else:
            with openers.get(suffix, open)(path, "rt", encoding=ENCODING, newline="") as file:
                yield file
    except UNREADABLE as error:
        raise TrainingDataError(f"{path}: cannot be read ({error})") from error


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    """The table in an archive; macOS adds metadata files with the same suffix."""
    names = [name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__MACOSX/")]
    if not names:
        raise TrainingDataError(f"{path}: holds no .csv")
    return next((name for name in names if PurePosixPath(name).name in TABLES), names[0])
