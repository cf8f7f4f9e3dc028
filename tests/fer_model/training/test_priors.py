"""Tests of logit adjustment."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fer_model.errors import WeightsError
from fer_model.networks.loading import load_classifier
from fer_model.networks.manifest import read_models
from fer_model.training.priors import adjust

LABELS = np.repeat(np.arange(7), [100, 10, 100, 200, 100, 80, 100])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has not been adjusted."""
    from fer_model.networks.classifiers import classifier_network
    from fer_model.networks.loading import save_weights

    torch.manual_seed(3)
    save_weights(classifier_network(), path := tmp_path_factory.mktemp("weights") / "plain.safetensors")
    return path


def test_the_odds_between_two_emotions_change_by_the_ratio_of_their_shares(weights: Path, tmp_path: Path) -> None:
    adjust(weights, LABELS, 0.5, output := tmp_path / "adjusted.safetensors")
    faces = torch.randn(4, 1, 48, 48, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        before, after = (load_classifier(path)(faces).softmax(1) for path in (weights, output))
    odds = (after[:, 1] / after[:, 3]) / (before[:, 1] / before[:, 3])
    assert odds.numpy() == pytest.approx(np.sqrt(200 / 10), rel=0.02)  # half precision of the file


def test_weights_are_not_adjusted_twice(weights: Path, tmp_path: Path) -> None:
    adjust(weights, LABELS, 0.5, once := tmp_path / "once.safetensors")
    with pytest.raises(WeightsError, match=r"once\.safetensors: has been adjusted already, by 0\.5"):
        adjust(once, LABELS, 0.5, tmp_path / "twice.safetensors")


def test_an_emotion_without_a_picture_is_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture of disgust"):
        adjust(weights, LABELS[LABELS != 1], 0.5, tmp_path / "out.safetensors")


def test_the_shipped_classifiers_are_adjusted(tmp_path: Path) -> None:
    for member in read_models().members:
        with pytest.raises(WeightsError, match=r"adjusted already, by 0\.5"):
            adjust(member.path, LABELS, 0.5, tmp_path / "out.safetensors")
