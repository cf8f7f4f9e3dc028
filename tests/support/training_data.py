"""Small training data of each layout, for the tests of their readers."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_model.training.datasets.ferplus import CLASSES


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
