"""Faces that fill the picture, or are cut by its edge, are found."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_model.engines import Engine
from fer_model.sources.images import read_picture

FACES = {"left": (542, 244, 664, 448), "right": (911, 91, 1055, 276)}
"""x1, y1, x2, y2 in pixels of zidane.jpg, 1280x720."""

CLEAR = 0.62
"""Between the scores of the weights before the close-ups (0.54 to 0.58 for a cut face) and of these (0.69 and more)."""


@pytest.mark.parametrize("side", [224, 1000])
@pytest.mark.parametrize("margin", [0.1, -0.05])
@pytest.mark.parametrize("name", FACES)
def test_a_face_that_fills_the_picture_is_found(
    openvino_engine: Engine, photographs: Path, name: str, margin: float, side: int
) -> None:
    x1, y1, x2, y2 = FACES[name]
    across, down = round((x2 - x1) * margin), round((y2 - y1) * margin)
    picture = read_picture(str(photographs / "zidane.jpg"))[y1 - down : y2 + down, x1 - across : x2 + across]
    enlarged = cv2.resize(picture, (side, round(side * picture.shape[0] / picture.shape[1])))
    (found,) = openvino_engine.start([np.ascontiguousarray(enlarged)], CLEAR)()
    assert len(found) >= 1, "no face"
    left, top, right, bottom = found[0, :4] / np.array([enlarged.shape[1], enlarged.shape[0]] * 2)
    assert (right - left) * (bottom - top) > 0.5, "the face is most of the picture"
