"""The figures in the detector's model card."""

from pathlib import Path

import numpy as np

from fer_model.manifest import Models
from fer_model.sources.pictures import read_picture
from fer_model.training.faces import LabelledPhotograph
from fer_model.training.measuring import degrade_photographs, detector_precision


def test_the_shipped_detector_is_precise_on_a_photograph_and_less_so_on_a_wrong_answer(
    models: Models, photographs: Path
) -> None:
    image = read_picture(str(photographs / "zidane.jpg"))
    faces = np.array([[911, 91, 1055, 276], [542, 244, 664, 448]], np.float32)
    right = LabelledPhotograph(photographs / "zidane.jpg", image, faces)
    wrong = LabelledPhotograph(photographs / "zidane.jpg", image, faces + np.float32(200))
    assert detector_precision(models.detector.path, [right]) == {10: 1.0, 16: 1.0, 32: 1.0}
    assert detector_precision(models.detector.path, [wrong])[10] == 0


def test_degrading_changes_each_photograph_the_same_way_each_time(photographs: Path) -> None:
    image = read_picture(str(photographs / "bus.jpg"))
    originals = [LabelledPhotograph(photographs / "bus.jpg", image, np.zeros((0, 4), np.float32))] * 6
    once, twice = degrade_photographs(originals), degrade_photographs(originals)
    assert all(not np.array_equal(each.image, image) for each in once)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(once, twice, strict=True))
