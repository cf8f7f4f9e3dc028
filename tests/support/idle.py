"""An engine that infers nothing, where the queue and the database are tested or measured."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_model.engines import Finish
from fer_model.engines.detection import Detections
from fer_model.preprocess import crop_faces
from fer_model.types import EMOTIONS, Image


class IdleEngine:
    """Finds no faces."""

    description = "nothing on cpu, no precision"
    at_once, in_flight, ahead_bytes = 1, 4, 2**25

    def __init__(self, members: int = 2) -> None:
        self.members = members

    def start(self, pictures: Sequence[Image], threshold: float) -> Finish:
        return lambda: [np.zeros((0, 5), np.float32) for _ in pictures]

    def crop(self, pictures: Sequence[Image], boxes: Sequence[Detections], margin: float) -> NDArray[np.uint8]:
        return crop_faces(pictures, boxes, margin)

    def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full((self.members, len(faces), len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
