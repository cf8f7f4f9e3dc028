"""The two architectures and their weights: safetensors in half precision, never a pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_model.atomic import write_atomically
from fer_model.errors import WeightsError
from fer_model.networks.architectures import architecture_of, check_head, described, read_metadata
from fer_model.networks.classifiers import Variant, classifier_network, variant_in
from fer_model.preprocess import FACE_SIZE
from fer_model.telemetry import disable_ultralytics_telemetry

if TYPE_CHECKING:
    import torch
    from torch import nn

DETECTOR_CONFIG = "yolov8n.yaml"
STEM = "features.0.0.weight"
SIDE_KEY, LARGEST_SIDE = "side", 224
STRENGTH_KEY = "logit_adjustment"
"""In a classifier's metadata: how strongly its logits were adjusted, see `training.priors`."""


def load_classifier(path: Path) -> "nn.Module":
    """The classifier in a safetensors file, of the side and variant in its metadata. Raises `WeightsError`."""
    return load_weights(classifier_network(classifier_side(path), classifier_variant(path)), path)


def classifier_side(path: Path) -> int:
    """The side in pixels of a classifier's input. Raises `WeightsError`."""
    text = read_metadata(path).get(SIDE_KEY, str(FACE_SIZE))
    if not text.isdecimal() or not FACE_SIZE <= int(text) <= LARGEST_SIDE:
        raise WeightsError(f"{path}: works on faces of {text!r} pixels, not of {FACE_SIZE} to {LARGEST_SIDE}")
    return int(text)


def classifier_variant(path: Path) -> Variant:
    """The variant that a classifier's metadata describe. Raises `WeightsError`."""
    try:
        return variant_in(read_metadata(path))
    except ValueError as error:
        raise WeightsError(f"{path}: describes a classifier that cannot be built ({error})") from error


def detector_network(config: dict[str, Any] | None = None) -> "nn.Module":
    """An Ultralytics detector with the one class face, on (N, 3, H, W) RGB 0..1, H and W multiples of 32.

    `config` is an architecture as `architecture_of` gives it; without one it is YOLOv8-nano.
    """
    disable_ultralytics_telemetry()
    from ultralytics.nn.tasks import DetectionModel

    network: nn.Module = DetectionModel(config or DETECTOR_CONFIG, nc=1, verbose=False)
    return network


def load_detector(path: Path) -> "nn.Module":
    """The detector in a safetensors file, of the architecture in its metadata.

    Raises:
        WeightsError: the file is missing or unreadable, or the detector is not of a kind that is supported.
    """
    try:
        network = detector_network(architecture_of(path))
    except (LookupError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise WeightsError(f"{path}: describes a detector that cannot be built ({error})") from error
    check_head(load_weights(network, path), path)
    return network


def raw_detector(network: "nn.Module") -> "nn.Module":
    """A detector without box decoding, so that only the boxes of faces need be decoded.

    (N, 3, H, W) RGB 0..1 in; distance logits (N, 64, anchors) and scores 0..1 (N, anchors) out.
    """
    from torch import nn

    class RawDetector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pictures: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
            head = self.network(pictures)[1]
            return head["boxes"], head["scores"][:, 0].sigmoid()

    return RawDetector().eval()


def load_weights(network: "nn.Module", path: Path) -> "nn.Module":
    """Fills a network from a safetensors file (any float precision; becomes float32).

    Raises:
        WeightsError: the file is missing, unreadable, or of another architecture.
    """
    try:
        network.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        # torch's own message lists every tensor, over many lines.
        raise WeightsError(f"{path}: is made for another architecture, not {type(network).__name__}") from error
    return network.eval()


def read_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a safetensors file, floats as float32. Raises `WeightsError`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({error})") from error
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def save_weights(network: "nn.Module", path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a network's tensors, atomically: a reader sees the old file or the new one.

    In half precision, except for a tensor whose values overflow it. A detector's architecture is added to the given
    metadata. Raises `OSError` if it cannot be written.
    """
    from safetensors.torch import save

    tensors = {name: _halved(tensor).contiguous() for name, tensor in network.state_dict().items()}
    # Not by safetensors itself, whose errors do not give the reason.
    write_atomically(path, _in_order(save(tensors, metadata={**(metadata or {}), **described(network)} or None)))


def _in_order(content: bytes) -> bytes:
    """The file with its metadata sorted: safetensors shuffles them, and the same weights must have the same hash."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if "__metadata__" not in header:
        return content
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _halved(tensor: "torch.Tensor") -> "torch.Tensor":
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if bool(half.isfinite().all()) else tensor.float()


def start_classifier(network: "nn.Module", path: Path) -> "nn.Module":
    """Initialises a classifier from a file: a whole classifier of this project, or an EfficientNet-B0's features.

    Raises:
        WeightsError: the file is neither.
    """
    tensors = read_tensors(path)
    stem = tensors.get(STEM)
    own = "classifier.1.weight" in tensors and stem is not None and stem.shape[1] == 1
    return load_weights(network, path) if own else start_from_features(network, path)


def start_from_features(network: "nn.Module", path: Path) -> "nn.Module":
    """Initialises a classifier's features from an RGB EfficientNet-B0; the head stays random.

    The first convolution's three colour planes are summed to one, which is what the RGB
    network would compute on a grey picture. Raises `WeightsError`.
    """
    tensors = read_tensors(path)
    if STEM not in tensors:
        raise WeightsError(f"{path}: has no tensor {STEM}: not an EfficientNet-B0 as torchvision names it")
    tensors[STEM] = tensors[STEM].sum(dim=1, keepdim=True)
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path}: is made for another architecture ({error})") from error
    if unexpected or any(name.startswith("features.") for name in missing):
        raise WeightsError(f"{path}: does not fit EfficientNet-B0 (unexpected {unexpected}, missing {missing})")
    return network
