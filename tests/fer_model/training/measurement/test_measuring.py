"""The figures in the detector's model card."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from fer_model.networks.manifest import ModelSet
from fer_model.sources.images import read_picture
from fer_model.training.__main__ import main
from fer_model.training.datasets.faces import LabelledPhotograph
from fer_model.training.measurement.measuring import degrade_photographs, detector_precision

ZIDANE = [(911, 91, 1055, 276), (542, 244, 664, 448)]
"""The faces in the photograph of 1280 x 720 pixels: x1, y1, x2, y2."""


def test_the_shipped_detector_is_precise_on_a_photograph_and_less_so_on_a_wrong_answer(
    models: ModelSet, photographs: Path
) -> None:
    image = read_picture(str(photographs / "zidane.jpg"))
    faces = np.array(ZIDANE, np.float32)
    right = LabelledPhotograph(photographs / "zidane.jpg", image, faces)
    wrong = LabelledPhotograph(photographs / "zidane.jpg", image, faces + np.float32(200))
    assert detector_precision(models.detector.path, [right]) == {10: 1.0, 16: 1.0, 32: 1.0}
    assert detector_precision(models.detector.path, [wrong])[10] == 0


def test_the_command_in_the_card_gives_its_figures(
    models: ModelSet, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = "".join(f"0 {(a + c) / 2560} {(b + d) / 1440} {(c - a) / 1280} {(d - b) / 720}\n" for a, b, c, d in ZIDANE)
    (tmp_path / "zidane.txt").write_text(faces)
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        tar.add(photographs / "zidane.jpg", "images/val/zidane.jpg")
        tar.add(tmp_path / "zidane.txt", "labels/val/zidane.txt")
    words = ["precision", str(models.detector.path), "--data", str(tmp_path / "faces.tar")]
    outputs = []
    for more in ([], ["--degraded"]):
        main([*words, *more])
        outputs.append(capsys.readouterr().out)
    assert outputs[0].splitlines() == [f"AP50 of faces at least {height} px high: 1.0000" for height in (10, 16, 32)]
    assert len(outputs[1].splitlines()) == 3


def test_degrading_changes_each_photograph_the_same_way_each_time(photographs: Path) -> None:
    image = read_picture(str(photographs / "bus.jpg"))
    originals = [LabelledPhotograph(photographs / "bus.jpg", image, np.zeros((0, 4), np.float32))] * 6
    once, twice = degrade_photographs(originals), degrade_photographs(originals)
    assert all(not np.array_equal(each.image, image) for each in once)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(once, twice, strict=True))
