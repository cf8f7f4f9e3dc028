import tarfile
from pathlib import Path

import numpy as np
import pytest

from fer_model.errors import FerModelError, TrainingDataError
from fer_model.training.datasets.faces import read_photographs, unpack
from tests.support.training_data import write_photograph, write_photographs


def test_archives_are_unpacked_side_by_side(tmp_path: Path) -> None:
    archives = [write_photographs(tmp_path, "second"), write_photographs(tmp_path, "first")]
    assert unpack(archives, tmp_path / "out") == ["first", "second"]
    assert (tmp_path / "out" / "labels" / "second" / "0.txt").exists()


def test_unpacking_ends_where_somebody_says_so(tmp_path: Path) -> None:
    calls = 0

    def before_file() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        unpack([write_photographs(tmp_path, "set")], tmp_path / "out", before_file)
    assert calls == 3 and not list((tmp_path / "out").rglob("*.txt"))


def test_what_an_earlier_run_has_unpacked_does_not_count(tmp_path: Path) -> None:
    training, validation = write_photographs(tmp_path, "training"), write_photographs(tmp_path, "validation")
    for _ in range(2):
        assert unpack([training], tmp_path / "out") == ["training"]
        assert unpack([validation], tmp_path / "out") == ["validation"]


@pytest.mark.parametrize("content", [b"", b"not a tar"])
def test_a_file_that_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with pytest.raises(TrainingDataError, match=r"a\.tar: cannot be unpacked"):
        unpack([path], tmp_path / "out")


def test_an_archive_with_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(__file__, "images/readme.py")
    with pytest.raises(TrainingDataError, match=r"a\.tar: holds no images/NAME/ folder"):
        unpack([path], tmp_path / "out")


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(__file__, "../outside.py")
    with pytest.raises(TrainingDataError, match=r"a\.tar: cannot be unpacked"):
        unpack([path], tmp_path / "out")
    assert not (tmp_path / "outside.py").exists()


def test_boxes_are_read_in_pixels(tmp_path: Path) -> None:
    write_photograph(tmp_path, "set", "0 0.5 0.5 0.1 0.2\n\n0 0.1 0.2 0.2 0.4\n")
    write_photograph(tmp_path, "set", "", number=1)
    first, second = read_photographs(tmp_path, "set")
    np.testing.assert_allclose(first.boxes, [[90, 40, 110, 60], [0, 0, 40, 40]], atol=1e-4)
    assert first.image.shape == (100, 200, 3)
    assert second.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "labels", ["0 0.5 0.5 0.1\n", "0 0.5 0.5 0.1 x\n", "0 0.5\n0 0.5 0.5\n", "0 .5 .5 .1 .1 0 .5 .5 .1 .1\n", None]
)
def test_a_wrong_label_file_is_named(tmp_path: Path, labels: str | None) -> None:
    write_photograph(tmp_path, "set", labels)
    with pytest.raises(TrainingDataError, match=r"0\.txt: is not a YOLO label file"):
        read_photographs(tmp_path, "set")


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_photograph(tmp_path, "set", "")
    (tmp_path / "images" / "set" / "0.png").write_bytes(b"not a picture")
    with pytest.raises(FerModelError, match=r"0\.png: is not a picture"):
        read_photographs(tmp_path, "set")


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="images/set: is not a folder of photographs"):
        read_photographs(tmp_path, "set")
