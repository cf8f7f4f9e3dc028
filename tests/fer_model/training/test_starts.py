import hashlib
from pathlib import Path

import pytest
import torch
from torchvision.models import efficientnet_b0

from fer_model.errors import WeightsError
from fer_model.networks.classifiers import classifier_network
from fer_model.networks.loading import start_classifier
from fer_model.training.starts import imagenet_features


def published(folder: Path) -> str:
    """The address of an RGB network's checkpoint whose name ends with the beginning of its sha256."""
    plain = folder / "plain.pth"
    torch.save(efficientnet_b0(num_classes=3).state_dict(), plain)
    named = folder / f"efficientnet-{hashlib.sha256(plain.read_bytes()).hexdigest()[:8]}.pth"
    return plain.rename(named).as_uri()


def test_features_are_fetched_once_and_start_a_classifier(tmp_path: Path) -> None:
    url = published(tmp_path)
    path = imagenet_features(tmp_path / "cache", url)
    start_classifier(classifier_network(), path)
    for each in tmp_path.rglob("*.pth"):
        each.unlink()
    assert imagenet_features(tmp_path / "cache", url) == path


def test_a_file_that_is_not_the_promised_one_is_refused(tmp_path: Path) -> None:
    url = published(tmp_path)
    (changed,) = tmp_path.glob("*.pth")
    changed.write_bytes(changed.read_bytes() + b"more")
    with pytest.raises(WeightsError, match=r"the ImageNet weights cannot be had from file:.*invalid hash"):
        imagenet_features(tmp_path / "cache", url)


def test_a_file_that_was_put_there_is_verified_too(tmp_path: Path) -> None:
    url = published(tmp_path)
    (whole,) = tmp_path.glob("*.pth")
    given = tmp_path / "cache" / "downloads" / whole.name
    given.parent.mkdir(parents=True)
    for content in (whole.read_bytes()[:-100], b"<html>Not found</html>", b""):
        given.write_bytes(content)
        with pytest.raises(WeightsError, match=r"downloads/efficientnet-.*\.pth: is not the file that file:"):
            imagenet_features(tmp_path / "cache", url)
    given.write_bytes(whole.read_bytes())
    whole.unlink()
    assert imagenet_features(tmp_path / "cache", url).exists()


def test_without_a_way_there_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="give a file of your own with --init PATH"):
        imagenet_features(tmp_path / "cache", (tmp_path / "nowhere-12345678.pth").as_uri())
