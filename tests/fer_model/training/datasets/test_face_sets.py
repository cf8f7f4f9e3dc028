import shutil
import tarfile
from pathlib import Path

import pytest
import yaml

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.face_sets import FaceSets, arrange
from fer_model.training.datasets.faces import read_photograph, read_photographs
from tests.support.training_data import write_photograph


def dataset(folder: Path, **counts: int) -> Path:
    """A folder with so many photographs in each set."""
    for name, count in counts.items():
        for number in range(count):
            write_photograph(folder, name, "0 0.5 0.5 0.1 0.2\n", number)
    return folder


def listed(sets: FaceSets) -> tuple[list[str], list[str]]:
    """The photographs that the trainer reads, as SET/NUMBER."""
    described = yaml.safe_load(sets.description.read_text())
    lists = [(Path(described["path"]) / described[name]).read_text().splitlines() for name in ("train", "val")]
    assert lists[1] == [str(path) for path in sets.validation]
    training, validation = ([f"{Path(line).parent.name}/{Path(line).stem}" for line in lines] for lines in lists)
    return training, validation


def test_sets_named_for_validation_choose_and_test_sets_are_left_out(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in", train=2, val=1, test=1)
    assert listed(arrange([source], None, tmp_path / "out")) == (["0-train/0", "0-train/1"], ["0-val/0"])


def test_metadata_of_archivers_are_no_photographs(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in", train=2, val=1)
    for name in ("train", "val"):
        (source / "images" / name / "._0.png").write_bytes(b"Mac OS X")
        (source / "images" / name / ".DS_Store").write_bytes(b"Bud1")
    assert listed(arrange([source], None, tmp_path / "out")) == (["0-train/0", "0-train/1"], ["0-val/0"])
    assert [photograph.path.name for photograph in read_photographs(source, "train")] == ["0.png", "1.png"]


def test_every_tenth_photograph_is_held_out_where_no_set_is(tmp_path: Path) -> None:
    training, validation = listed(arrange([dataset(tmp_path / "in", faces=21)], None, tmp_path / "out"))
    assert validation == ["0-faces/17", "0-faces/8"] and len(training) == 19


def test_a_handful_is_enough(tmp_path: Path) -> None:
    training, validation = listed(arrange([dataset(tmp_path / "in", faces=3)], None, tmp_path / "out"))
    assert (training, validation) == (["0-faces/0", "0-faces/2"], ["0-faces/1"])


def test_a_validation_of_its_own_leaves_every_set_to_train_on(tmp_path: Path) -> None:
    source, other = dataset(tmp_path / "in", train=1, val=1), dataset(tmp_path / "other", any=1)
    sets = arrange([source, source], other, tmp_path / "out")
    assert listed(sets) == (["0-train/0", "0-val/0", "1-train/0", "1-val/0"], ["validation-any/0"])


def test_the_same_photographs_are_not_trained_on_and_validated_on(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in", train=2)
    with pytest.raises(TrainingDataError, match="no photographs to train on"):
        arrange([source], source, tmp_path / "out")


@pytest.mark.parametrize(("unlabelled", "use"), [("train", "to train on"), ("val", "to choose the epoch by")])
def test_photographs_without_any_labels_are_refused(tmp_path: Path, unlabelled: str, use: str) -> None:
    """One without is a picture without faces."""
    source = dataset(tmp_path / "in", train=2, val=2)
    (source / "labels" / unlabelled / "0.txt").unlink()
    arrange([source], None, tmp_path / "out")
    shutil.rmtree(source / "labels" / unlabelled)
    with pytest.raises(
        TrainingDataError, match=rf"in: there are no labels \(labels/SET/NAME.txt\) of photographs {use}"
    ):
        arrange([source], None, tmp_path / "out")


def test_folders_and_archives_mix_and_twice_is_once(tmp_path: Path) -> None:
    archive = tmp_path / "faces.tar"
    with tarfile.open(archive, "w") as tar:
        for kind in ("images", "labels"):
            tar.add(dataset(tmp_path / "packed", val=1) / kind, kind)
    for _ in range(2):
        sets = arrange([dataset(tmp_path / "in", train=1), archive], None, tmp_path / "out")
        assert listed(sets) == (["0-train/0"], ["1-val/0"])
    assert read_photograph(sets.validation[0]).boxes.shape == (1, 4)


def test_nothing_is_written_into_the_data(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in", train=2)
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    arrange([source], None, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before


def test_a_folder_of_another_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="in: holds no images/SET/ folder"):
        (tmp_path / "in").mkdir()
        arrange([tmp_path / "in"], None, tmp_path / "out")
