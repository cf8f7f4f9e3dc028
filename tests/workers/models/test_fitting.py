"""Fitting an ensemble to labelled faces."""

from pathlib import Path

import pytest
import torch

from fer_model.networks.classifiers import classifier_network
from fer_model.networks.loading import save_weights
from fer_model.networks.manifest import given_file
from tests.support.tiny import write_tiny_faces
from workers.models.fitting import fit_ensemble


def test_shares_and_temperature_are_fitted_on_the_outputs_of_the_members(tmp_path: Path) -> None:
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        save_weights(classifier_network(), tmp_path / f"{seed}.safetensors")
        members.append(given_file(tmp_path / f"{seed}.safetensors"))
    data = write_tiny_faces(tmp_path / "fer2013.csv", validation=14)
    fit = fit_ensemble(members, data, "PublicTest", device="cpu", cache=None)
    assert len(fit.shares) == 2 and sum(fit.shares) == pytest.approx(1)
    assert fit.temperature > 0
    assert fit == fit_ensemble(members, data, "PublicTest", device="cpu", cache=None), "deterministic"
