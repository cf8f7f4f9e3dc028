"""The weights in the repository and their published figures."""

import re
from pathlib import Path

import pytest
from safetensors import safe_open

from fer_model.networks.manifest import SHIPPED, WeightsFile, read_models
from fer_model.training.datasets.faces import read_photographs, unpack
from fer_model.training.datasets.fer2013 import read_fer2013
from fer_model.training.measurement.measuring import float_detector, precision, quantised_detector
from fer_model.training.measurement.reports import load_members, report

FILES = read_models().files
HEADINGS = ("Data", "Start", "Command", "Seed", "Metrics", "sha256", "Licence", "Limits")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_file_is_the_promised_one_small_and_in_half_precision(file: WeightsFile) -> None:
    file.verify()
    assert file.path.stat().st_size < 10_000_000
    with safe_open(file.path, "np") as tensors:
        types = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    assert types <= {"F16", "I64"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_file_has_a_card_that_says_everything(file: WeightsFile) -> None:
    card = file.path.with_suffix(".md").read_text()
    assert file.sha256 in card
    for heading in HEADINGS:
        assert re.search(rf"^\*\*{heading}\.\*\*", card, re.MULTILINE), heading


def test_nothing_unneeded_lies_beside_them() -> None:
    expected = {"manifest.json"} | {file.path.name for file in FILES} | {f"{file.path.stem}.md" for file in FILES}
    expected |= {file.graph.path.name for file in FILES if file.graph}
    assert {path.name for path in SHIPPED.iterdir()} == expected


def test_no_two_files_are_the_same_and_no_figure_is_missing() -> None:
    assert len({file.sha256 for file in FILES}) == len(FILES) == 3
    for file in FILES:
        card = file.path.with_suffix(".md").read_text()
        assert not re.search(r"NN|XX|TODO|\b0+\.0+ %", card)


def test_the_detector_in_eight_bits_is_the_promised_one_of_these_weights_and_in_the_card() -> None:
    detector = read_models().detector
    assert detector.graph is not None
    detector.graph.verify()
    assert detector.graph.path.stat().st_size < 10_000_000
    with safe_open(detector.graph.path, "np") as tensors:
        assert tensors.metadata() == {"quantised_from": detector.sha256}
    assert detector.graph.sha256 in detector.path.with_suffix(".md").read_text()


def test_the_detector_in_eight_bits_keeps_the_promised_precision(shared_data: Path, tmp_path: Path) -> None:
    (name,) = unpack([shared_data / "faces" / "wider_val.tar"], tmp_path)
    quantised = read_models().detector.graph
    assert quantised is not None
    detect = quantised_detector(quantised.path, tmp_path / "cache")
    assert precision(detect, read_photographs(tmp_path, name)[::2])[10] >= 0.87


def test_the_detector_keeps_the_promised_precision(shared_data: Path, tmp_path: Path) -> None:
    (name,) = unpack([shared_data / "faces" / "wider_val.tar"], tmp_path)
    detect = float_detector(read_models().detector.path)
    assert precision(detect, read_photographs(tmp_path, name)[::2])[10] >= 0.87


def test_the_ensemble_reaches_the_promised_accuracy(shared_data: Path) -> None:
    models = read_models()
    faces = read_fer2013(shared_data / "fer2013" / "fer2013.csv.xz", "PublicTest")
    (measured,) = report(load_members(models.members), models.shares, models.temperature, faces)
    assert measured.evaluation.accuracy >= 69 and measured.evaluation.macro_f1 >= 0.66
