"""A small deterministic engine, for tests whose subject is order and threads and not what networks see."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_model.engines import Finish
from fer_model.engines.detection import Detections
from fer_model.networks.manifest import ModelSet, WeightsFile
from fer_model.preprocess import crop_faces
from fer_model.types import Frame, Image

MODELS = ModelSet(
    detector=WeightsFile("d", Path("d"), ""),
    members=(WeightsFile("a", Path("a"), "first member"), WeightsFile("b", Path("b"), "second member")),
    shares=(0.25, 0.75),
    margin=0.0,
)


class BrightnessEngine:
    """Sees one face, in the picture's first lines, for each 50 steps of the top left pixel's red."""

    description = "for tests"
    at_once, in_flight, ahead_bytes = 1, 3, 48 * 2**20

    def __init__(self) -> None:
        self.seen = 0

    def start(self, pictures: Sequence[Image], threshold: float) -> Finish:
        self.seen += len(pictures)
        return lambda: [self._faces(int(picture[0, 0, 0]) // 50, threshold) for picture in pictures]

    def _faces(self, faces: int, threshold: float) -> Detections:
        left = 30.0 + 40 * np.arange(faces)
        found = np.stack((left, 0 * left, left + 24, 0 * left + 14, np.linspace(0.9, 0.8, faces)), axis=1)
        return found[found[:, 4] >= threshold - 1e-6].astype(np.float32)

    def crop(self, pictures: Sequence[Image], boxes: Sequence[Detections], margin: float) -> NDArray[np.uint8]:
        return crop_faces(pictures, boxes, margin)

    def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        first = np.eye(7, dtype=np.float32)[np.zeros(len(faces), int)]
        second = np.eye(7, dtype=np.float32)[np.full(len(faces), 3)]
        return np.stack((first, second))


def frames(count: int, faces: int = 1, side: int = 64) -> Iterator[Frame]:
    """Frames, 40 ms apart, in which `BrightnessEngine` sees so many faces."""
    for index in range(count):
        yield Frame(index, index * 40, np.full((side, side, 3), 50 * faces, np.uint8))
