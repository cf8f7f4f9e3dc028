"""Small training data of each layout, for the tests of their readers."""

import csv
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_model.training.datasets.ferplus import CLASSES
from tests.support.clips import noise_picture


def grey_picture(seed: int, side: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def write_table(path: Path, rows: Iterable[tuple[int, str]]) -> Path:
    """A fer2013.csv with (label, Usage) rows; row n shows `grey_picture(n)`, n from 0."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for number, (label, usage) in enumerate(rows):
            writer.writerow([label, " ".join(map(str, grey_picture(number).ravel())), usage])
    return path


def write_votes(path: Path, rows: Iterable[tuple[str, Iterable[object]]]) -> Path:
    """A fer2013new.csv with (Usage, ten votes) rows."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *CLASSES])
        writer.writerows([usage, f"fer{number:07}.png", *votes] for number, (usage, votes) in enumerate(rows))
    return path


def write_folders(root: Path, counts: Mapping[str, int]) -> Path:
    """PNG pictures, so many per folder (`{"train/angry": 3}`); the n-th of all shows `grey_picture(n)`."""
    seed = 0
    for name, count in counts.items():
        (folder := root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(grey_picture(seed)).save(folder / f"{number:03}.png")
            seed += 1
    return root


def write_photograph(folder: Path, name: str, labels: str | None, number: int = 0) -> None:
    """A picture of 200 x 100 pixels, and its label file where `labels` is given."""
    for kind in ("images", "labels"):
        (folder / kind / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise_picture(200, 100, number)).save(folder / "images" / name / f"{number}.png")
    if labels is not None:
        (folder / "labels" / name / f"{number}.txt").write_text(labels)


def write_photographs(folder: Path, *names: str) -> Path:
    """A tar file with a photograph and its label in each of these sets."""
    for name in names:
        write_photograph(folder / "in" / name, name, "0 0.5 0.5 0.1 0.2\n")
    path = folder / f"{'_'.join(names)}.tar"
    with tarfile.open(path, "w") as tar:
        for name in names:
            for kind in ("images", "labels"):
                tar.add(folder / "in" / name / kind, kind)
    return path
