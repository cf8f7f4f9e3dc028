"""The two architectures, and how their weights travel: safetensors in half precision, never a pickle."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from fer_model.errors import WeightsError
from fer_model.privacy import silence_ultralytics
from fer_model.types import EMOTIONS

if TYPE_CHECKING:
    import torch
    from torch import nn

DETECTOR_CONFIG = "yolov8n.yaml"


def classifier_network() -> "nn.Module":
    """EfficientNet-B0 (Tan and Le, 2019; torchvision) on (N, 1, 48, 48) normalised grey, seven logits out."""
    from torch import nn
    from torchvision.models import efficientnet_b0

    network: nn.Module = efficientnet_b0(num_classes=len(EMOTIONS))
    stem = cast("nn.Sequential", network.get_submodule("features.0"))
    stem[0] = nn.Conv2d(1, 32, kernel_size=3, stride=2, padding=1, bias=False)
    return network


def detector_network() -> "nn.Module":
    """Ultralytics YOLOv8-nano with the one class face, on (N, 3, H, W) RGB 0..1, H and W multiples of 32."""
    silence_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    network: nn.Module = DetectionModel(DETECTOR_CONFIG, nc=1, verbose=False)
    return network


def raw_detector(network: "nn.Module") -> "nn.Module":
    """A detector that stops before boxes are decoded, so that this is done only where there is a face.

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
        WeightsError: the file is missing, unreadable, or made for another architecture.
    """
    try:
        network.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise WeightsError(f"{path}: is made for another architecture ({error})") from error
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


def save_weights(network: "nn.Module", path: Path) -> None:
    """Writes a network's tensors in half precision, atomically: a reader sees the old file or the new one."""
    from safetensors.torch import save_file

    tensors = {
        name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in network.state_dict().items()
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    # Whoever runs workers is often not who trained.
    partial.chmod(0o644)
    partial.replace(path)


def start_from_features(network: "nn.Module", path: Path) -> "nn.Module":
    """Fills a classifier's features from an RGB EfficientNet-B0; the head stays random.

    The first convolution's three colour planes are summed to one, which is what the RGB
    network would compute on a grey picture. Raises `WeightsError`.
    """
    tensors = read_tensors(path)
    stem = "features.0.0.weight"
    if stem not in tensors:
        raise WeightsError(f"{path}: has no tensor {stem}: not an EfficientNet-B0 as torchvision names it")
    tensors[stem] = tensors[stem].sum(dim=1, keepdim=True)
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path}: is made for another architecture ({error})") from error
    if unexpected or any(name.startswith("features.") for name in missing):
        raise WeightsError(f"{path}: does not fit EfficientNet-B0 (unexpected {unexpected}, missing {missing})")
    return network
