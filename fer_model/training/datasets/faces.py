"""Photographs with face boxes in YOLO's layout: `images/NAME/*.jpg` and `labels/NAME/*.txt`."""

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.image_folder import is_picture
from fer_model.types import Image


@dataclass(frozen=True, slots=True)
class LabelledPhotograph:
    """A photograph and its faces: `boxes` (N, 4), x1, y1, x2, y2 in pixels."""

    path: Path
    image: Image
    boxes: NDArray[np.float32]


def unpack(archives: Sequence[Path], folder: Path, before_file: Callable[[], None] = lambda: None) -> list[str]:
    """Unpacks tar archives into one folder; gives the names of their sets under `images/`.

    `before_file` is called before each file and may raise, since large archives take minutes. Raises
    `TrainingDataError`.
    """
    names = set()
    for archive in archives:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, _asking(tar, before_file), filter="data")
                paths = [PurePath(name).parts for name in tar.getnames()]
        except (OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError) as error:
            raise TrainingDataError(f"{archive}: cannot be unpacked ({error})") from error
        # Files of an earlier run in the folder do not count: they may be another set.
        here = {parts[1] for parts in paths if len(parts) > 2 and parts[0] == "images"}
        if not here:
            raise TrainingDataError(f"{archive}: holds no images/NAME/ folder")
        names |= here
    return sorted(names)


def _asking(tar: tarfile.TarFile, before_file: Callable[[], None]) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        before_file()
        yield member


def read_photographs(folder: Path, name: str) -> list[LabelledPhotograph]:
    """All photographs of one set. Raises `TrainingDataError` naming the invalid file."""
    images = folder / "images" / name
    if not images.is_dir():
        raise TrainingDataError(f"{images}: is not a folder of photographs")
    return [read_photograph(path) for path in sorted(images.iterdir()) if is_picture(path)]


def read_photograph(path: Path) -> LabelledPhotograph:
    """A photograph with its faces.

    Raises:
        TrainingDataError, UnreadableMediaError: the file of labels, or the photograph, that cannot be read.
    """
    from fer_model.sources.images import read_picture

    image = read_picture(str(path))
    return LabelledPhotograph(path, image, _boxes(labels_of(path), image.shape[1], image.shape[0]))


def labels_of(photograph: Path) -> Path:
    """The file of a photograph's labels; may not exist."""
    return photograph.parents[2] / "labels" / photograph.parent.name / f"{photograph.stem}.txt"


def _boxes(path: Path, width: int, height: int) -> NDArray[np.float32]:
    try:
        rows = [[float(value) for value in line.split()] for line in path.read_text().splitlines() if line.strip()]
        if any(len(row) != 5 for row in rows):
            raise ValueError("a line does not hold five numbers")
        _, x, y, w, h = np.array(rows, np.float32).reshape(-1, 5).T
    except (OSError, ValueError) as error:
        raise TrainingDataError(f"{path}: is not a YOLO label file ({error})") from error
    return np.stack(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height), 1)
