"""From weights and faces to reports and plots."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fer_model.errors import FerModelError, WeightsError
from fer_model.networks.classifiers import classifier_network
from fer_model.networks.loading import save_weights
from fer_model.networks.manifest import ModelSet, WeightsFile, given_file
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.training.measurement.complexity import Complexity
from fer_model.training.measurement.evaluation import evaluate
from fer_model.training.measurement.reports import Report, load_members, member_outputs, report, write_report

FACES = LabelledFaces(np.random.default_rng(0).integers(0, 256, (14, 48, 48), dtype=np.uint8), np.arange(14) % 7)


@pytest.fixture
def weights(tmp_path: Path) -> list[WeightsFile]:
    """Two classifiers that disagree."""
    files = []
    for seed in range(2):
        torch.manual_seed(seed)
        network = classifier_network()
        # Untrained features are almost zero; the head alone must tell the members apart.
        torch.nn.init.normal_(network.classifier[1].bias)  # type: ignore[index, union-attr]
        save_weights(network, tmp_path / f"{seed}.safetensors")
        files.append(given_file(tmp_path / f"{seed}.safetensors"))
    return files


def test_each_member_gives_its_own_probabilities(weights: list[WeightsFile]) -> None:
    outputs = member_outputs(load_members(weights), FACES.images)
    assert outputs.shape == (2, 14, 7)
    assert outputs.sum(2) == pytest.approx(np.ones((2, 14)), abs=1e-5)
    assert not np.allclose(outputs[0], outputs[1])


def test_a_report_counts_every_member_and_twice_with_the_mirror(models: ModelSet) -> None:
    members = load_members(models.members)
    plain, mirrored = report(members, models.shares, models.temperature, FACES, mirror=True)
    assert plain.complexity == Complexity(0.044726176, 4_015_939 + 877_699)
    assert mirrored.complexity == Complexity(0.089452352, 4_015_939 + 877_699)
    assert plain.efficiency == pytest.approx(plain.evaluation.accuracy / 4.4726176)
    assert report(members, models.shares, models.temperature, FACES)[0].as_dict() == plain.as_dict()


def test_the_mirror_makes_both_sides_the_same(models: ModelSet) -> None:
    turned = LabelledFaces(np.ascontiguousarray(FACES.images[:, :, ::-1]), FACES.labels)
    members = load_members(models.members)
    one, other = (report(members, models.shares, 1.0, faces, mirror=True)[1] for faces in (FACES, turned))
    assert one.evaluation.ece == pytest.approx(other.evaluation.ece, abs=1e-6)
    np.testing.assert_array_equal(one.evaluation.confusion, other.evaluation.confusion)


def test_weights_that_changed_since_they_were_promised_are_refused(weights: list[WeightsFile]) -> None:
    weights[0].path.write_bytes(weights[1].path.read_bytes())
    with pytest.raises(WeightsError, match="promised was"):
        load_members(weights)


def test_weights_of_a_detector_are_refused_in_one_line(models: ModelSet) -> None:
    with pytest.raises(WeightsError, match=r"is made for another architecture, not EfficientNet$"):
        load_members([models.detector])


def test_weights_without_numbers_are_refused(weights: list[WeightsFile]) -> None:
    member = load_members(weights[:1])[0]
    torch.nn.init.constant_(member.get_submodule("classifier.1").bias, float("nan"))  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="not a number"):
        member_outputs([member], FACES.images)


def test_a_device_that_torch_cannot_use_is_named(weights: list[WeightsFile]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this torch can use CUDA")
    with pytest.raises(FerModelError, match="cuda:0 cannot be used by this torch; use cpu"):
        load_members(weights, "cuda:0")


@pytest.mark.parametrize("faces", [1, 3500])
def test_plots_and_report_are_written(tmp_path: Path, faces: int) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), faces)
    written = Report(evaluate(probabilities, np.arange(faces) % 7), Complexity(0.02, 4))
    about = {"models": "an ensemble with a long name, of five networks", "split": "PublicTest"}
    write_report(tmp_path, written, written.as_dict(), about)
    for name in ("confusion.png", "reliability.png"):
        with Image.open(tmp_path / name) as picture:
            picture.load()
            assert picture.format == "PNG" and min(picture.size) > 800
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 10, "nothing was drawn"
    content = json.loads((tmp_path / "report.json").read_text())
    assert content.items() >= {**about, **written.as_dict(), "parameters": 4}.items()
    assert sum(content["reliability"]["count"]) == faces
    assert content["efficiency_is"].startswith("efficiency = accuracy in per cent")
