import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fer_model.errors import WeightsError
from fer_model.networks.architectures import architecture_of, read_metadata
from fer_model.networks.classifiers import classifier_network
from fer_model.networks.loading import (
    detector_network,
    load_weights,
    read_tensors,
    save_weights,
    start_classifier,
    start_from_features,
)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return classifier_network().eval()


def test_weights_travel_in_half_precision(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(network, path)
    assert path.stat().st_size < 8_300_000
    assert list(tmp_path.iterdir()) == [path], "nothing half-written stays"
    loaded = load_weights(classifier_network(), path)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    assert not loaded.training


def test_saving_replaces_an_older_file(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    save_weights(network, path)
    assert read_tensors(path)


def test_a_file_that_cannot_be_written_leaves_the_old_one_alone(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(network, path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_is_said_of_weights_is_kept_beside_the_architecture_always_in_the_same_order(tmp_path: Path) -> None:
    path, metadata = tmp_path / "a.safetensors", {name: f"{name}: \u00e9" for name in "fedcba"}
    detector = detector_network()
    save_weights(detector, path)
    architecture, before = architecture_of(path), read_tensors(path)
    save_weights(detector, path, metadata)
    content = path.read_bytes()
    assert architecture and architecture_of(path) == architecture
    assert metadata.items() <= read_metadata(path).items()
    assert all(torch.equal(tensor, before[name]) for name, tensor in read_tensors(path).items())
    save_weights(detector, path, dict(reversed(metadata.items())))
    assert path.read_bytes() == content


def test_missing_and_damaged_weights_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(WeightsError, match=r"a\.safetensors: cannot be read as safetensors"):
        read_tensors(path)
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(WeightsError, match=r"a\.safetensors: cannot be read as safetensors"):
        read_tensors(path)


def test_weights_of_another_architecture_are_refused(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(nn.Linear(3, 4), path)
    with pytest.raises(WeightsError, match=r"a\.safetensors: is made for another architecture"):
        load_weights(network, path)


def colour_features(network: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of an RGB EfficientNet-B0 without its head."""
    tensors = {name: t.clone() for name, t in network.state_dict().items() if name.startswith("features.")}
    tensors["features.0.0.weight"] = torch.rand(32, 3, 3, 3)
    return tensors


def test_a_start_from_colour_features_sees_grey_as_the_colour_network_does(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = colour_features(network)
    save_file(tensors, path)
    start = start_from_features(classifier_network(), path)
    grey = torch.rand(2, 1, 48, 48)
    found = nn.functional.conv2d(grey, start.state_dict()["features.0.0.weight"], stride=2, padding=1)
    expected = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), tensors["features.0.0.weight"], stride=2, padding=1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda tensors: tensors.pop("features.0.0.weight"), "has no tensor features.0.0.weight"),
        (lambda tensors: tensors.pop("features.8.0.weight"), "does not fit EfficientNet-B0"),
        (lambda tensors: tensors.update(other=torch.zeros(1)), "does not fit EfficientNet-B0"),
        (lambda tensors: tensors.update({"features.8.0.weight": torch.zeros(1)}), "is made for another architecture"),
    ],
)
def test_features_that_do_not_fit_are_refused(network: nn.Module, tmp_path: Path, spoil: Any, complaint: str) -> None:
    path = tmp_path / "a.safetensors"
    tensors = colour_features(network)
    spoil(tensors)
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=complaint):
        start_from_features(classifier_network(), path)


def test_a_start_from_our_own_classifier_takes_everything(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(network, path)
    torch.manual_seed(1)
    start = start_classifier(classifier_network(), path).state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(start[name], tensor, atol=1e-3, rtol=1e-3)


def test_a_start_from_features_leaves_the_head_as_it_is(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = colour_features(network)
    save_file(tensors, path)
    torch.manual_seed(1)
    fresh = classifier_network()
    head = {name: t.clone() for name, t in fresh.state_dict().items() if name.startswith("classifier.")}
    start = start_classifier(fresh, path).state_dict()
    assert head and all(torch.equal(start[name], tensor) for name, tensor in head.items())
    torch.testing.assert_close(start["features.0.0.weight"], tensors["features.0.0.weight"].sum(1, keepdim=True))
    assert torch.equal(start["features.8.0.weight"], tensors["features.8.0.weight"])


def test_a_start_from_something_else_is_refused(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(WeightsError, match=r"a\.safetensors: cannot be read as safetensors"):
        start_classifier(classifier_network(), path)
    save_weights(nn.Linear(3, 4), path)
    with pytest.raises(WeightsError, match=r"a\.safetensors: has no tensor features\.0\.0\.weight"):
        start_classifier(classifier_network(), path)
    # A colour network with a head of its own: neither bare features nor a classifier of ours.
    save_file({**colour_features(network), "classifier.1.weight": torch.zeros(1000, 1280)}, path)
    with pytest.raises(WeightsError, match=r"a\.safetensors: is made for another architecture"):
        start_classifier(classifier_network(), path)
    save_file({"classifier.1.weight": torch.zeros(7, 1280)}, path)
    with pytest.raises(WeightsError, match=r"a\.safetensors: has no tensor features\.0\.0\.weight"):
        start_classifier(classifier_network(), path)
