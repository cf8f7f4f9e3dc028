"""The figures in the model cards."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fer_model.manifest import Models
from fer_model.networks import classifier_network, save_weights
from fer_model.sources.pictures import read_picture
from fer_model.training.faces import LabelledPhotograph
from fer_model.training.fer2013 import LabelledFaces
from fer_model.training.measuring import accuracy, degrade_photographs, detector_precision, fit_shares, member_outputs


def test_shares_go_to_the_member_that_is_right() -> None:
    labels = np.array([0, 1, 2, 3])
    right = np.full((4, 7), 0.02, np.float32)
    right[np.arange(4), labels] = 0.88
    wrong = np.full((4, 7), 1 / 7, np.float32)
    assert fit_shares(np.stack([right, wrong]), labels) == (1.0, 0.0)
    assert fit_shares(np.stack([wrong, right]), labels) == (0.0, 1.0)


def test_two_members_with_different_strengths_share() -> None:
    labels = np.array([0, 0, 1, 1])
    sure_of_0, sure_of_1 = np.full((4, 7), 0.05, np.float32), np.full((4, 7), 0.05, np.float32)
    sure_of_0[:2, 0], sure_of_1[2:, 1] = 0.7, 0.7
    assert fit_shares(np.stack([sure_of_0, sure_of_1]), labels) == (0.5, 0.5)


def test_accuracy_is_the_share_of_right_answers() -> None:
    probabilities = np.eye(7)[[0, 1, 2, 3]]
    assert accuracy(probabilities, np.array([0, 1, 2, 4])) == 0.75


def test_each_member_gives_its_own_probabilities(tmp_path: Path) -> None:
    paths = []
    for seed in range(2):
        torch.manual_seed(seed)
        network = classifier_network()
        # Untrained features are almost zero; the head alone must tell the members apart.
        torch.nn.init.normal_(network.classifier[1].bias)  # type: ignore[index, union-attr]
        paths.append(tmp_path / f"{seed}.safetensors")
        save_weights(network, paths[-1])
    faces = LabelledFaces(np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8), np.zeros(3, np.int64))
    outputs = member_outputs(paths, faces)
    assert outputs.shape == (2, 3, 7)
    assert outputs.sum(2) == pytest.approx(np.ones((2, 3)), abs=1e-5)
    assert not np.allclose(outputs[0], outputs[1])


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
