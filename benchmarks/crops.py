"""Compares resize filters for crops, and measures the cost of misplaced boxes.

    python -m benchmarks.crops fer2013.csv.xz human_faces.tar

Shrinking: faces of at least 96 pixels are cut from photographs and shrunk to 48 with each
filter; the best filter's crops are as sharp as FER-2013's pictures. Enlarging: the same faces are
first reduced to 20 pixels; the best filter's predictions stay nearest to those for the full face.
Misplaced boxes: PublicTest's pictures, shifted and scaled as by an inaccurate detector box.
"""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.analysis.ensemble import combine
from fer_model.engines import load_engine
from fer_model.networks.manifest import read_models
from fer_model.preprocess import FACE_SIZE, face_square
from fer_model.training.datasets.faces import read_photographs, unpack
from fer_model.training.datasets.fer2013 import read_fer2013
from workers.settings import Settings, writable_cache

Crops = NDArray[np.uint8]
FILTERS = {
    "nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4, "area": cv2.INTER_AREA,
}  # fmt: skip
LEAST_SIDE, SMALL_SIDE, FACES = 96, 20, 1500
ERRORS = ((0.0, 0.0), (0.05, 0.0), (0.1, 0.0), (0.15, 0.0), (0.0, 0.1), (0.0, 0.2), (0.1, 0.1))


def main(data: Path, photographs: Path) -> None:
    models = read_models()
    engine = load_engine(models, "cpu", writable_cache(Settings().cache_dir))

    def answers(crops: Crops) -> NDArray[np.float64]:
        return combine(engine.classify(crops), models.shares, models.temperature)

    faces = read_fer2013(data, "PublicTest")
    images, labels = faces.images[:FACES], faces.labels[:FACES]
    large = large_faces(photographs)
    print(f"sharpness of FER-2013's pictures: {sharpness(images):.3f}; of {len(large)} larger faces, shrunk by")
    for name, method in FILTERS.items():
        print(f"  {name:8} {sharpness(shrunk(large, FACE_SIZE, method)):.3f}")
    whole, small = answers(shrunk(large, FACE_SIZE, cv2.INTER_AREA)), shrunk(large, SMALL_SIDE, cv2.INTER_AREA)
    print(f"the same faces {SMALL_SIDE} pixels wide, enlarged by: same answer, mean distance of the probabilities")
    for name, method in FILTERS.items():
        found = answers(shrunk(list(small), FACE_SIZE, method))
        same = (found.argmax(1) == whole.argmax(1)).mean()
        print(f"  {name:8} {same:.1%}  {np.abs(found - whole).sum(1).mean() / 2:.3f}")
    print("accuracy on PublicTest with the box off by (shift, size):")
    random = np.random.default_rng(0)
    for shift, size in ERRORS:
        moved = np.stack([misplaced(image, shift, size, random) for image in images])
        print(f"  {shift:4.0%} {size:4.0%}: {(answers(moved).argmax(1) == labels).mean():.2%}")


def large_faces(archive: Path) -> list[Crops]:
    """The squares of all faces of at least `LEAST_SIDE` pixels, grey."""
    crops = []
    with tempfile.TemporaryDirectory() as folder:
        for name in unpack([archive], Path(folder)):
            for photograph in read_photographs(Path(folder), name):
                grey = cv2.cvtColor(photograph.image, cv2.COLOR_RGB2GRAY)
                for box in photograph.boxes:
                    left, top, side = face_square(box, 0.0)
                    cut = grey[max(top, 0) : top + side, max(left, 0) : left + side]
                    if side >= LEAST_SIDE and cut.shape == (side, side):
                        crops.append(np.asarray(cut, np.uint8))
    return crops


def shrunk(crops: list[Crops], side: int, method: int) -> Crops:
    return np.stack([cv2.resize(crop, (side, side), interpolation=method) for crop in crops])


def sharpness(crops: Crops) -> float:
    """Median over pictures of the Laplacian's standard deviation divided by that of the grey values."""
    spread = [cv2.Laplacian(crop, cv2.CV_64F).std() / (crop.std() + 1e-6) for crop in crops]
    return float(np.median(spread))


def misplaced(image: Crops, shift: float, size: float, random: np.random.Generator) -> Crops:
    """The crop of a box that is off by up to `shift` of its side, and by `size` in size."""
    scale = 1 + random.uniform(-size, size)
    move = random.uniform(-shift, shift, 2) * FACE_SIZE + (FACE_SIZE - 1) / 2 * (1 - scale)
    matrix = np.array([[scale, 0, move[0]], [0, scale, move[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(image, matrix, (FACE_SIZE, FACE_SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
