"""Anonymised faces: the remaining information, and whether a detector finds them."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from fer_model.engines import Engine
from fer_model.rendering.anonymise import CELLS, MARGIN, How, hide
from fer_model.sources.images import read_picture
from fer_model.types import Box
from tests.support.clips import noise_picture
from tests.support.faces import detected

WAYS = get_args(How)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", ["zidane.jpg", "bus.jpg"])
def test_no_face_is_found_any_more(openvino_engine: Engine, photographs: Path, name: str, how: How) -> None:
    image = read_picture(str(photographs / name)).copy()
    before = detected(openvino_engine, image)
    assert before
    hide(image, before, how)
    assert detected(openvino_engine, image) == []


@pytest.mark.parametrize("how", WAYS)
def test_nothing_else_changes_and_little_is_left(how: How) -> None:
    image = noise_picture(200, 160).copy()
    before = image.copy()
    hide(image, [(80.0, 60.0, 120.0, 100.0)], how)
    pad = round(MARGIN * 40)
    inside = np.zeros(image.shape[:2], bool)
    inside[60 - pad : 100 + pad, 80 - pad : 120 + pad] = True
    np.testing.assert_array_equal(image[~inside], before[~inside])
    if how == "pixelate":
        assert len(np.unique(image[inside], axis=0)) <= CELLS["pixelate"] ** 2
    # All that a blurred part holds are a few numbers, from which it can be made again.
    part = image[60 - pad : 100 + pad, 80 - pad : 120 + pad].astype(float)
    assert (
        np.abs(np.diff(part, axis=0)).mean()
        < 0.5 * np.abs(np.diff(before[60:100, 80:120].astype(float), axis=0)).mean()
    )


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "box", [(-20, -20, 10, 10), (190, 150, 240, 200), (300, 300, 320, 320), (50, 50, 50.2, 50.1), (-50, -50, 400, 400)]
)
def test_boxes_at_the_edge_and_beyond_it(how: How, box: Box) -> None:
    image = noise_picture(200, 160).copy()
    hide(image, [box], how)
    assert image.shape == (160, 200, 3)
