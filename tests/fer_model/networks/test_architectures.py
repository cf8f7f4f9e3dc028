"""Detectors of other architectures: built from their file's metadata, on every engine; unlisted layers are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fer_model.engines.openvino import OpenVinoEngine
from fer_model.engines.torch import TorchEngine
from fer_model.errors import WeightsError
from fer_model.networks.architectures import METADATA_KEY, architecture_of
from fer_model.networks.loading import load_detector, save_weights
from fer_model.networks.manifest import ModelSet, given_file
from tests.support.checkpoints import random_detector


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO12-nano of one class."""
    path = tmp_path_factory.mktemp("detector") / "face.safetensors"
    save_weights(random_detector("yolo12n.yaml"), path)
    return path


def test_both_engines_run_another_architecture(models: ModelSet, weights: Path, cache: Path) -> None:
    other = replace(models, detector=given_file(weights))
    graph, reference = OpenVinoEngine(other, cache), TorchEngine(other, "cpu", half=False)
    random = np.random.default_rng(0)
    for shape in ((384, 640), (640, 384), (128, 640)):
        picture = random.integers(0, 255, (*shape, 3), dtype=np.uint8)
        # All anchors: what random weights find would be chance.
        request = graph._request(shape)
        request.start(picture)
        (expected,) = (boxes.numpy() for boxes in reference._launch([picture]).boxes)
        assert expected[4].std() > 0 and expected.shape == (5, shape[0] * shape[1] * 21 // 1024)
        for one, another in zip(request.end(), expected, strict=True):
            # The graph's numbers are in half precision, and random weights magnify what that rounds away.
            assert np.corrcoef(one, another)[0, 1] > 0.97


def test_weights_that_say_nothing_are_taken_for_a_yolov8(models: ModelSet, tmp_path: Path) -> None:
    assert (architecture_of(models.detector.path) or {})["scale"] == "n", "the shipped ones say what they are"
    silent = tmp_path / "silent.safetensors"
    save_file(load_file(models.detector.path), silent)
    assert architecture_of(silent) is None
    told, untold = (load_detector(path).state_dict() for path in (models.detector.path, silent))
    assert told.keys() == untold.keys() and all(torch.equal(told[name], untold[name]) for name in told)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activation": "__import__('os').abort()"}, "unknown part 'activation'"),
        ({"head": [[-1, 1, "load_checkpoint", ["evil.pt"]]]}, "unknown layer 'load_checkpoint'"),
        ({"head": [[-1, 1, "nn.Bilinear", [1]]]}, "unknown layer"),
        ({"head": "Conv"}, "cannot be built"),
        ({"head": [[99, 1, "Conv", [8]]]}, "cannot be built"),
        ({"scale": "q"}, "cannot be built"),
    ],
)
def test_a_file_cannot_ask_for_anything_else(weights: Path, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    config = json.dumps((architecture_of(weights) or {}) | change)
    save_file(load_file(weights), tmp_path / "evil.safetensors", metadata={METADATA_KEY: config})
    with pytest.raises(WeightsError, match=rf"evil\.safetensors: .*{words}"):
        load_detector(tmp_path / "evil.safetensors")


def test_metadata_that_are_not_json_are_refused(weights: Path, tmp_path: Path) -> None:
    save_file(load_file(weights), tmp_path / "odd.safetensors", metadata={METADATA_KEY: "{"})
    with pytest.raises(WeightsError, match="describes a detector that cannot be built"):
        load_detector(tmp_path / "odd.safetensors")
