"""Detects faces in a picture."""

from fer_model.engines import Engine
from fer_model.types import Box, Image


def detected(engine: Engine, image: Image, threshold: float = 0.4) -> list[Box]:
    """The boxes of the faces that the detector finds."""
    (boxes,) = engine.start([image], threshold)()
    return [(float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2, _ in boxes]
