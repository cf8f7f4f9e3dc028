"""FER-2013 and unlabelled faces, small enough to travel to a machine that has a GPU and no network.

Mosaics of 32x32 pictures in row order: lossy WebP for what is trained on, PNG for what is measured on.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.cache import NO_ARRAY
from fer_model.training.datasets.fer2013 import UNREADABLE, read_fer2013
from fer_model.training.datasets.ferplus import label_probabilities, read_votes

TILES = 32
"""Pictures in a row and in a column of a mosaic."""

FER_SIDE, EXTRA_SIDE = 48, 64
EXTRA_ZOOM = 1 / 1.3
"""Unlabelled faces come with a margin; this part of their side is the detector's box."""

DAMAGED = (*UNREADABLE, *NO_ARRAY, LookupError, TypeError)
"""What is raised by reading an archive of arrays or pictures that is none, damaged or incomplete."""

ALIKE = 0.96
"""Correlation of two pictures from which they count as the same photograph."""


@dataclass(frozen=True, slots=True)
class Faces:
    """All that a run needs; N rows of Training, P of PublicTest, E unlabelled faces.

    `images` (N, 48, 48) and `public` (P, 48, 48) grey; `extra` (E, 64, 64) grey, squares of 1.3 times the face.
    `labels` (N,) and `public_labels` (P,) 0..6; `soft` (N, 7) probabilities of each label given the FER+ votes;
    `votes` (N, 10); `groups` (N,): rows with the same number show the same photograph.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    soft: NDArray[np.float32]
    votes: NDArray[np.int64]
    groups: NDArray[np.int64]
    public: NDArray[np.uint8]
    public_labels: NDArray[np.int64]
    extra: NDArray[np.uint8]


def read_sources(data: Path, extra: Path | None) -> Faces:
    """The faces of fer2013.csv(.xz), with fer2013new.csv beside it, and of a zip of grey pictures of 64x64.

    Raises:
        TrainingDataError: a file cannot be read, or a row is invalid.
    """
    training, public = (read_fer2013(data, usage) for usage in ("Training", "PublicTest"))
    path = data.parent / "fer2013new.csv"
    votes = read_votes(path, "Training")
    if len(votes) != len(training.labels):
        raise TrainingDataError(f"{path}: has {len(votes)} Training rows but {data.name} has {len(training.labels)}")
    return Faces(
        training.images,
        training.labels,
        label_probabilities(votes, training.labels),
        votes,
        photographs(training.images),
        public.images,
        public.labels,
        read_faces(extra)[0] if extra else np.zeros((0, EXTRA_SIDE, EXTRA_SIDE), np.uint8),
    )


def read_faces(path: Path, column: str | None = None) -> tuple[NDArray[np.uint8], list[str]]:
    """Grey faces (E, 64, 64) of a zip, in the order of their names, and of each what `column` of its faces.csv says.

    Raises:
        TrainingDataError: the file cannot be read, or a picture is of another size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            pictures = [Image.open(io.BytesIO(archive.read(name))).convert("L") for name in names]
            rows = csv.DictReader(archive.read("faces.csv").decode().splitlines()) if column else []
            group_of = {row["image"]: row[str(column)] for row in rows}
            groups = [group_of[name] for name in names] if column else []
    except DAMAGED as error:
        raise TrainingDataError(f"{path}: cannot be read ({error})") from error
    if not pictures:
        raise TrainingDataError(f"{path}: holds no .jpg")
    if any(picture.size != (EXTRA_SIDE, EXTRA_SIDE) for picture in pictures):
        raise TrainingDataError(f"{path}: not all pictures have {EXTRA_SIDE}x{EXTRA_SIDE} pixels")
    return np.stack([np.asarray(picture) for picture in pictures]), groups


def boxed(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Faces (E, 64, 64) with a margin as a detector's box shows them: (E, 48, 48)."""
    side = round(EXTRA_SIDE * EXTRA_ZOOM)
    first = (EXTRA_SIDE - side) // 2
    inside = faces[:, first : first + side, first : first + side]
    return np.stack([cv2.resize(face, (FER_SIDE, FER_SIDE), interpolation=cv2.INTER_LINEAR) for face in inside])


def write_pack(faces: Faces, folder: Path) -> None:
    """Writes the mosaics and `rows.npz` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in (("train", faces.images), ("extra", faces.extra)):
        for number, mosaic in enumerate(_mosaics(images)):
            path = folder / f"{name}-{number:02}.webp"
            Image.fromarray(mosaic).convert("RGB").save(path, quality=90, method=6)
    for number, mosaic in enumerate(_mosaics(faces.public)):
        Image.fromarray(mosaic).save(folder / f"public-{number:02}.png", optimize=True)
    np.savez_compressed(
        folder / "rows.npz",
        labels=faces.labels.astype(np.uint8),
        soft=faces.soft.astype(np.float16),
        votes=faces.votes.astype(np.uint8),
        groups=faces.groups.astype(np.int32),
        public_labels=faces.public_labels.astype(np.uint8),
        extra=np.array(len(faces.extra)),
    )


def read_pack(folder: Path) -> Faces:
    """The faces that `write_pack` wrote. Raises `OSError`, and `TrainingDataError` if it is damaged or incomplete."""
    try:
        rows = _arrays(folder / "rows.npz")
        extra = int(rows["extra"])
    except DAMAGED as error:
        raise TrainingDataError(
            f"{folder}: its rows.npz cannot be read ({error}); make it again with `pack`"
        ) from error
    return Faces(
        images=_tiles(folder, "train", FER_SIDE, len(rows["labels"])),
        labels=rows["labels"].astype(np.int64),
        soft=rows["soft"].astype(np.float32),
        votes=rows["votes"].astype(np.int64),
        groups=rows["groups"].astype(np.int64),
        public=_tiles(folder, "public", FER_SIDE, len(rows["public_labels"])),
        public_labels=rows["public_labels"].astype(np.int64),
        extra=_tiles(folder, "extra", EXTRA_SIDE, extra),
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file. Raises one of `DAMAGED`."""
    with path.open("rb") as file, np.load(file) as stored:
        return dict(stored)


def _mosaics(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    side, per = images.shape[1], TILES * TILES
    for start in range(0, len(images), per):
        part = images[start : start + per]
        full = np.zeros((per, side, side), np.uint8)
        full[: len(part)] = part
        yield full.reshape(TILES, TILES, side, side).transpose(0, 2, 1, 3).reshape(TILES * side, TILES * side)


def _tiles(folder: Path, name: str, side: int, count: int) -> NDArray[np.uint8]:
    parts = [np.zeros((0, side, side), np.uint8)]
    # The hundredth number has three digits.
    for path in sorted(folder.glob(f"{name}-*"), key=lambda path: (len(path.name), path.name)):
        grey = np.asarray(Image.open(path).convert("L"))
        parts.append(grey.reshape(TILES, side, TILES, side).transpose(0, 2, 1, 3).reshape(-1, side, side))
    tiles = np.concatenate(parts)[:count].copy()
    if len(tiles) < count:
        raise TrainingDataError(f"{folder}: has {len(tiles)} of {count} pictures of {name!r}; files are missing")
    return tiles


def read_answers(path: Path, faces: Faces) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What teachers say of Training, (N, 7), and of the unlabelled faces, (E, 7), of which there may be none here.

    Raises:
        TrainingDataError: the file cannot be read, or has not as many answers as there are faces.
    """
    try:
        stored = _arrays(path)
        said, extra = (stored[name].astype(np.float32) for name in ("training", "extra"))
    except DAMAGED as error:
        raise TrainingDataError(f"{path}: holds no teachers' answers ({error})") from error
    for what, answered, count in (("rows of Training", said, len(faces.images)), ("--extra", extra, len(faces.extra))):
        if len(answered) != count and (count or answered is said):
            raise TrainingDataError(f"{path}: has answers for {len(answered)} faces, and {what} are {count}")
    return said, extra


def photographs(images: NDArray[np.uint8], alike: float = ALIKE) -> NDArray[np.int64]:
    """A number (N,) for each picture, the same for pictures that correlate by at least `alike`, mirrored ones too."""
    small = images.reshape(len(images), 24, 2, 24, 2).mean((2, 4), dtype=np.float32)
    vectors = []
    for each in (small, small[:, :, ::-1]):
        flat = each.reshape(len(images), -1)
        flat = flat - flat.mean(1, keepdims=True)
        vectors.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))
    straight, mirrored = vectors
    parent = np.arange(len(images))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = int(parent[place])
        return place

    for start in range(0, len(images), 1024):
        block = straight[start : start + 1024]
        for others in (straight, mirrored):
            rows, columns = np.nonzero(block @ others.T >= alike)
            for one, other in zip(rows + start, columns, strict=True):
                if one < other:
                    parent[root(int(other))] = root(int(one))
    return np.array([root(place) for place in range(len(images))], np.int64)
