"""The figures in the detector's model card."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from fer_model.networks.manifest import ModelSet
from fer_model.sources.images import read_picture
from fer_model.training.__main__ import main
from fer_model.training.datasets.faces import LabelledPhotograph
from fer_model.training.measurement.measuring import cut_photographs, degrade_photographs, float_detector, precision

ZIDANE = [(911, 91, 1055, 276), (542, 244, 664, 448)]
"""The faces in the photograph of 1280 x 720 pixels: x1, y1, x2, y2."""


def test_the_shipped_detector_is_precise_on_a_photograph_and_less_so_on_a_wrong_answer(
    models: ModelSet, photographs: Path
) -> None:
    image = read_picture(str(photographs / "zidane.jpg"))
    faces = np.array(ZIDANE, np.float32)
    right = LabelledPhotograph(photographs / "zidane.jpg", image, faces)
    wrong = LabelledPhotograph(photographs / "zidane.jpg", image, faces + np.float32(200))
    detect = float_detector(models.detector.path)
    assert precision(detect, [right]) == {10: 1.0, 16: 1.0, 32: 1.0}
    assert precision(detect, [wrong])[10] == 0


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


def test_closeups_are_counted_by_group(
    models: ModelSet, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two names of the list: of one the box is right, of the other it lies elsewhere. A third is not on the list."""
    names = ("1031.jpg", "1107.jpg", "zidane.jpg")
    (tmp_path / "groups.csv").write_text(
        "image,race\n" + "".join(f"{n},{g}\n" for n, g in zip(names, "ABA", strict=True))
    )
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        tar.add(tmp_path / "groups.csv", "groups.csv")
        for name, left in zip(names, (911, 100, 100), strict=True):
            (tmp_path / "label.txt").write_text(f"0 {(left + 72) / 1280} {183.5 / 720} {144 / 1280} {185 / 720}\n")
            tar.add(photographs / "zidane.jpg", f"images/close/{name}")
            tar.add(tmp_path / "label.txt", f"labels/close/{Path(name).stem}.txt")
    main(["closeups", str(models.detector.path), "--data", str(tmp_path / "faces.tar")])
    with pytest.raises(SystemExit, match=r"groups\.csv has no column 'age'"):
        main(["closeups", str(models.detector.path), "--data", str(tmp_path / "faces.tar"), "--by", "age"])
    assert capsys.readouterr().out.splitlines() == ["A: 100.0 % of 1", "B: 0.0 % of 1", "all: 50.0 % of 2"]


def test_a_cut_runs_through_the_face_at_each_side_in_turn(photographs: Path) -> None:
    image = read_picture(str(photographs / "zidane.jpg"))
    original = LabelledPhotograph(photographs / "zidane.jpg", image, np.array(ZIDANE, np.float32))
    cut = list(cut_photographs([original] * 4, 0.25))
    assert [each.image.shape[:2] for each in cut] == [(720, 333), (583, 1280), (720, 1019), (230, 1280)]
    expected = [(0, 91, 108, 276), (911, 0, 1055, 139), (911, 91, 1019, 276), (911, 91, 1055, 230)]
    assert [each.boxes.tolist() for each in cut] == [[list(map(float, box))] for box in expected]
    assert np.array_equal(cut[1].image, image[137:])


def test_degrading_changes_each_photograph_the_same_way_each_time(photographs: Path) -> None:
    image = read_picture(str(photographs / "bus.jpg"))
    originals = [LabelledPhotograph(photographs / "bus.jpg", image, np.zeros((0, 4), np.float32))] * 6
    once, twice = degrade_photographs(originals), degrade_photographs(originals)
    assert all(not np.array_equal(each.image, image) for each in once)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(once, twice, strict=True))
