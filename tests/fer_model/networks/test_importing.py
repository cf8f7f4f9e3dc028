"""Weights of others: torch's files and Ultralytics' checkpoints become our safetensors files, or are refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fer_model.errors import WeightsError
from fer_model.networks.architectures import architecture_of, read_metadata
from fer_model.networks.classifiers import classifier_network
from fer_model.networks.importing import adopt_classifier, adopt_detector, kind_of, renormalise
from fer_model.networks.loading import (
    SIDE_KEY,
    STRENGTH_KEY,
    load_classifier,
    load_detector,
    load_weights,
    raw_detector,
    save_weights,
)
from fer_model.preprocess import PIXEL_MEAN, normalise
from tests.support.checkpoints import random_classifier, random_detector, write_checkpoint, write_pth

PIXELS = torch.randint(0, 256, (4, 1, 48, 48), generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("prefix", ["", "model.", "module.model."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict"])
def test_tensors_are_found_whatever_they_are_wrapped_in(tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    network = random_classifier()
    write_pth(tmp_path / "theirs.pth", network, prefix, wrapper)
    adopt_classifier(tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    ours = load_weights(classifier_network(), tmp_path / "ours.safetensors")
    with torch.inference_mode():
        pictures = normalise(PIXELS)
        torch.testing.assert_close(ours(pictures).softmax(1), network(pictures).softmax(1), atol=0.05, rtol=0)


def test_a_classifier_of_ours_keeps_the_size_of_its_faces_and_its_adjustment(tmp_path: Path) -> None:
    """A teacher sees faces enlarged to 96 pixels; without that it answers something else."""
    path, added = tmp_path / "teacher.safetensors", tmp_path / "added.safetensors"
    save_weights(random_classifier(), path, {SIDE_KEY: "96", STRENGTH_KEY: "0.5", "best_epoch": "3"})
    adopt_classifier(path, added)
    assert read_metadata(added) == {SIDE_KEY: "96", STRENGTH_KEY: "0.5"}
    with torch.inference_mode():
        theirs, ours = (load_classifier(each)(normalise(PIXELS)).softmax(1) for each in (path, added))
    torch.testing.assert_close(ours, theirs)


def test_another_normalisation_is_folded_in() -> None:
    theirs, ours = random_classifier(), random_classifier()
    renormalise(ours, 0.5, 0.5)
    with torch.inference_mode():
        expected = theirs(PIXELS / 127.5 - 1).softmax(1)
        found, without = ours(normalise(PIXELS)).softmax(1), theirs(normalise(PIXELS)).softmax(1)
    assert (expected.amax(0) - expected.amin(0)).max() > 0.1, "the network distinguishes these pictures"
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    assert (without - expected).abs().max() > 0.03, "and sees the difference that was folded in"


def test_the_folding_is_exact_but_for_what_lies_beyond_the_edge() -> None:
    theirs, ours = random_classifier(), random_classifier()
    renormalise(ours, 0.4, 0.3)
    stem, folded = theirs.get_submodule("features.0"), ours.get_submodule("features.0")
    with torch.inference_mode():
        found, expected = folded(normalise(PIXELS)), stem((PIXELS / 255 - 0.4) / 0.3)
        torch.testing.assert_close(found[:, :, 1:, 1:], expected[:, :, 1:, 1:], atol=1e-4, rtol=1e-4)
        # At the upper and left edge theirs computes the same if it sees the grey there that ours sees.
        framed = torch.nn.functional.pad(PIXELS, (2, 0, 2, 0), value=255 * PIXEL_MEAN)
        framed_expected = stem((framed / 255 - 0.4) / 0.3)[:, :, 1:, 1:]
    torch.testing.assert_close(found, framed_expected, atol=1e-4, rtol=1e-4)
    assert (found - expected).abs().max() > 1e-3


def test_what_is_no_classifier_of_ours_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(WeightsError, match=r"linear\.pth: is not an EfficientNet-B0 of one channel and seven"):
        adopt_classifier(tmp_path / "linear.pth", tmp_path / "ours.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        adopt_classifier(tmp_path / "list.pth", tmp_path / "ours.safetensors")
    (tmp_path / "text.pth").write_text("this is no file of torch")
    with pytest.raises(WeightsError, match=r"text\.pth: "):
        adopt_classifier(tmp_path / "text.pth", tmp_path / "ours.safetensors")
    assert not (tmp_path / "ours.safetensors").exists()


class Malicious:
    """An object that runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["evil.pth", "evil.pt"])
def test_an_unverified_pickle_runs_nothing(tmp_path: Path, name: str) -> None:
    torch.save({"model": Malicious(tmp_path / "ran")}, tmp_path / name)
    target = tmp_path / "ours.safetensors"
    with pytest.raises(WeightsError, match=r"holds more than tensors|add --trust"):
        if name.endswith(".pt"):
            adopt_detector(tmp_path / name, target, trusted=False)
        else:
            adopt_classifier(tmp_path / name, target)
    assert not (tmp_path / "ran").exists() and not target.exists()


@pytest.mark.parametrize("config", ["yolov5n.yaml", "yolov8n.yaml", "yolo11n.yaml", "yolo12n.yaml"])
def test_an_ultralytics_checkpoint_becomes_safetensors_with_its_architecture(tmp_path: Path, config: str) -> None:
    network = random_detector(config)
    write_checkpoint(tmp_path / "face.pt", network)
    adopt_detector(tmp_path / "face.pt", tmp_path / "face.safetensors", trusted=True)
    assert architecture_of(tmp_path / "face.safetensors") is not None
    pictures = torch.rand(1, 3, 128, 256)
    with torch.inference_mode():
        found, expected = (
            raw_detector(load_detector(tmp_path / "face.safetensors"))(pictures),
            raw_detector(network)(pictures),
        )
    assert expected[0].std() > 0.01
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=0.02 * float(other.abs().max()), rtol=0)


@pytest.mark.parametrize(
    ("config", "classes", "words"),
    [
        ("yolov8n.yaml", 2, r"face\.pt: .*it knows 2 classes, not faces alone"),
        ("yolo26n.yaml", 1, r"face\.pt: this detector's head is of a kind that is not supported"),
        ("yolov8n-p6.yaml", 1, r"face\.pt: .*unknown layer 'C2'"),
    ],
)
def test_a_detector_whose_head_does_not_fit_is_refused(tmp_path: Path, config: str, classes: int, words: str) -> None:
    write_checkpoint(tmp_path / "face.pt", random_detector(config, classes))
    with pytest.raises(WeightsError, match=words):
        adopt_detector(tmp_path / "face.pt", tmp_path / "face.safetensors", trusted=True)


def test_a_file_tells_what_it_is(tmp_path: Path) -> None:
    for name, network in (("classifier", random_classifier()), ("detector", random_detector("yolov8n.yaml"))):
        save_weights(network, tmp_path / f"{name}.safetensors")
        assert kind_of(tmp_path / f"{name}.safetensors") == name
    prefixed = {f"model.{name}": tensor for name, tensor in random_classifier().state_dict().items()}
    save_file(prefixed, tmp_path / "prefixed.safetensors")
    assert kind_of(tmp_path / "prefixed.safetensors") == "classifier"
    assert (kind_of(Path("x.pt")), kind_of(Path("x.pth"))) == ("detector", "classifier")
