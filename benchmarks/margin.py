"""Measures which margin around the detector's box matches the classifiers' training pictures.

    python -m benchmarks.margin fer2013.csv.xz

Detects the faces in FER-2013's PublicTest pictures (enlarged to 192 pixels on grey), compares the
boxes with the pictures' framing, crops again with several margins and measures the
ensemble's accuracy. Margins over 0 reach beyond most of these pictures, whose edge is then
repeated: for them the comparison of sizes is more reliable than the accuracy.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.analysis.ensemble import combine
from fer_model.engines import Engine, load_engine
from fer_model.engines.detection import PADDING_GREY, Detections
from fer_model.networks.manifest import read_models
from fer_model.preprocess import crop_face
from fer_model.training.datasets.fer2013 import read_fer2013
from fer_model.types import Image
from workers.settings import Settings, writable_cache

SIDE, CANVAS, CORNER = 192, 384, 96
FACES = 1200
THRESHOLD = 0.4
MARGINS = (-0.2, -0.1, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4)


def main(data: Path) -> None:
    models = read_models()
    engine = load_engine(models, "cpu", writable_cache(Settings().cache_dir))
    faces = read_fer2013(data, "PublicTest")
    pictures = [enlarge(face) for face in faces.images[:FACES]]
    boxes = [face_box(engine, picture) for picture in pictures]
    found = [row for row, box in enumerate(boxes) if box is not None]
    sizes = [SIDE / max(box[2] - box[0], box[3] - box[1]) for box in boxes if box is not None]
    print(f"a face in {len(found)} of {len(pictures)} pictures")
    print("side of the picture to side of the box, quartiles:", np.quantile(sizes, (0.25, 0.5, 0.75)).round(3))
    labels = faces.labels[found]

    def accuracy(crops: list[NDArray[np.uint8]]) -> float:
        mixed = combine(engine.classify(np.stack(crops)), models.shares)
        return float((mixed.argmax(axis=1) == labels).mean())

    print(f"as it is: {accuracy([faces.images[row] for row in found]):.2%}")
    for margin in MARGINS:
        crops = [crop_face(pictures[row], box, margin) for row in found if (box := boxes[row]) is not None]
        print(f"margin {margin:+.2f}: {accuracy(crops):.2%}")


def enlarge(face: NDArray[np.uint8]) -> Image:
    """A face picture of 192 pixels in three equal colours."""
    large = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.repeat(np.asarray(large, np.uint8)[..., None], 3, axis=2)


def face_box(engine: Engine, picture: Image) -> Detections | None:
    """The box of the highest score; the picture lies on grey, so the box may reach beyond it. None without a face."""
    canvas = np.full((CANVAS, CANVAS, 3), PADDING_GREY, np.uint8)
    canvas[CORNER : CORNER + SIDE, CORNER : CORNER + SIDE] = picture
    (boxes,) = engine.start([canvas], THRESHOLD)()
    return boxes[0] - np.array([CORNER] * 4 + [0], np.float32) if len(boxes) else None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
