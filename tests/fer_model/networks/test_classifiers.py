"""Variants of EfficientNet-B0: their cost, their description, and what is refused."""

import json
from pathlib import Path

import pytest
import torch

from fer_model.errors import WeightsError
from fer_model.networks.classifiers import (
    B0,
    LARGE_MAPS,
    MIDDLE_MAPS,
    VARIANTS,
    Variant,
    classifier_network,
    variant_in,
)
from fer_model.networks.importing import adopt_classifier
from fer_model.networks.loading import classifier_variant, load_classifier, save_weights
from fer_model.training.measurement.complexity import complexity


def test_variants_cost_what_they_say() -> None:
    costs = {name: complexity(classifier_network(variant=variant)).gmacs for name, variant in VARIANTS.items()}
    assert costs == {
        "b0": pytest.approx(0.0232, abs=1e-4),
        "large-maps": pytest.approx(0.0215, abs=1e-4),
        "middle-maps": pytest.approx(0.0247, abs=1e-4),
    }
    assert costs["large-maps"] + costs["b0"] < 0.0465 and costs["large-maps"] + costs["middle-maps"] < 0.0465


def test_a_variant_is_kept_in_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    network = classifier_network(variant=LARGE_MAPS).eval()
    save_weights(network, path, LARGE_MAPS.metadata)
    assert classifier_variant(path) == LARGE_MAPS
    faces = torch.rand(3, 1, 48, 48)
    with torch.inference_mode():
        torch.testing.assert_close(load_classifier(path)(faces), network(faces), atol=0.01, rtol=0.01)
    adopt_classifier(path, tmp_path / "b.safetensors")
    assert classifier_variant(tmp_path / "b.safetensors") == LARGE_MAPS


def test_weights_without_a_description_are_b0() -> None:
    assert variant_in({}) == B0 and B0.summary == "efficientnet_b0"
    assert MIDDLE_MAPS.summary == "efficientnet_b0, channels 24 16 24 40 80 96 160, strides 1 2 2 1 1 2"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head": 10**9}, "channels are whole numbers from 1 to 2048"),
        ({"stem": 0}, "channels are whole numbers"),
        ({"stem": "24"}, "not whole numbers"),
        ({"strides": [1, 2, 1, 2, 1, 3]}, "a stride is 1 or 2"),
        ({"depths": [1, 1, 2, 3, 2, 10**6]}, "a stage has 1 to 8 blocks"),
        ({"depths": [1]}, "each of 1 to 7 stages needs"),
        ({"activation": "torch.load"}, "unknown part 'activation'"),
    ],
)
def test_a_description_that_cannot_be_built_is_refused(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    text = json.dumps(json.loads(LARGE_MAPS.metadata["efficientnet"]) | change)
    path = tmp_path / "a.safetensors"
    save_weights(classifier_network(variant=LARGE_MAPS), path, {"efficientnet": text})
    with pytest.raises(WeightsError, match=reason):
        load_classifier(path)


def test_a_description_with_a_part_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        variant_in({"efficientnet": "{}"})
    with pytest.raises(ValueError, match="another kind"):
        variant_in({"efficientnet": "[]"})


def test_a_variant_has_as_many_strides_as_channels() -> None:
    with pytest.raises(ValueError, match="each of 1 to 7 stages"):
        Variant(24, (16, 24), (1,), (1, 1), 640)
