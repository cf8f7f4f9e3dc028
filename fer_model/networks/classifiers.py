"""Classifiers of EfficientNet-B0's blocks: B0 itself, and variants that the metadata of their weights describe.

B0's strides leave 2x2 maps of a 48x48 face. A variant keeps larger maps and has fewer channels, at no more
multiply-adds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fer_model.preprocess import FACE_SIZE
from fer_model.types import EMOTIONS

if TYPE_CHECKING:
    import torch
    from torch import nn

METADATA_KEY = "efficientnet"

KINDS = ((1, 3), (6, 3), (6, 5), (6, 3), (6, 5), (6, 5), (6, 3))
"""Expansion and kernel of EfficientNet-B0's seven stages (Tan and Le, 2019, table 1)."""

MOST_CHANNELS, MOST_BLOCKS = 2048, 8
"""Bounds of a variant, so that a file's metadata cannot make a process run out of memory."""


@dataclass(frozen=True, slots=True)
class Variant:
    """`stem` and `head`: channels of the first and the last convolution; per stage its channels, stride and blocks."""

    stem: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    depths: tuple[int, ...]
    head: int

    def __post_init__(self) -> None:
        stages = {len(self.channels), len(self.strides), len(self.depths)}
        if len(stages) != 1 or not 1 <= stages.pop() <= len(KINDS):
            raise ValueError(f"each of 1 to {len(KINDS)} stages needs channels, a stride and a number of blocks")
        if not all(1 <= number <= MOST_CHANNELS for number in (self.stem, *self.channels, self.head)):
            raise ValueError(f"channels are whole numbers from 1 to {MOST_CHANNELS}")
        if not all(stride in (1, 2) for stride in self.strides):
            raise ValueError("a stride is 1 or 2")
        if not all(1 <= depth <= MOST_BLOCKS for depth in self.depths):
            raise ValueError(f"a stage has 1 to {MOST_BLOCKS} blocks")

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata for a weights file; `variant_in` reads it."""
        return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True)}

    @property
    def summary(self) -> str:
        """Its name in the database, such as `efficientnet_b0, channels 24 16 24, strides 1 2`."""
        if self == B0:
            return "efficientnet_b0"
        channels, strides = (" ".join(map(str, each)) for each in ((self.stem, *self.channels), self.strides))
        return f"efficientnet_b0, channels {channels}, strides {strides}"


B0 = Variant(32, (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 2, 1, 2, 1), (1, 2, 2, 3, 3, 4, 1), 1280)
LARGE_MAPS = Variant(24, (16, 24, 32, 56, 80, 136), (1, 2, 1, 2, 1, 2), (1, 1, 2, 3, 2, 2), 640)
"""Maps of 24 24 12 12 6 6 3 pixels; 0.0215 G multiply-adds, 0.88 million parameters."""

MIDDLE_MAPS = Variant(24, (16, 24, 40, 80, 96, 160), (1, 2, 2, 1, 1, 2), (1, 2, 2, 2, 2, 2), 640)
"""Maps of 24 24 12 6 6 6 3 pixels; 0.0247 G multiply-adds, 1.19 million parameters."""

VARIANTS = {"b0": B0, "large-maps": LARGE_MAPS, "middle-maps": MIDDLE_MAPS}


def variant_in(metadata: Mapping[str, str]) -> Variant:
    """The variant that a weights file's metadata describe; B0 if none. Raises `ValueError`."""
    if METADATA_KEY not in metadata:
        return B0
    values = json.loads(metadata[METADATA_KEY])
    try:
        sizes = {name: tuple(_whole(values.pop(name))) for name in ("channels", "strides", "depths")}
        stem, head = _whole((values.pop("stem"), values.pop("head")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a part is missing or of another kind ({error})") from error
    if values:
        raise ValueError(f"unknown part {sorted(values)[0]!r}")
    return Variant(stem=stem, head=head, **sizes)


def _whole(numbers: Sequence[Any]) -> list[int]:
    if not all(type(number) is int for number in numbers):
        raise TypeError(f"{numbers!r} are not whole numbers")
    return list(numbers)


def classifier_network(
    side: int = FACE_SIZE, variant: Variant = B0, dropout: float = 0.2, drop_path: float = 0.2
) -> "nn.Module":
    """EfficientNet-B0 (Tan and Le, 2019; torchvision) on (N, 1, 48, 48) normalised grey, seven logits out.

    With `side` above 48 it first enlarges the faces to that many pixels: finer feature maps, at four times the
    multiply-adds for twice the side. `dropout` and `drop_path` (stochastic depth) are probabilities in training.
    """
    from torch import nn
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig

    inputs = (variant.stem, *variant.channels)
    stages = [
        MBConvConfig(expansion, kernel, stride, before, channels, depth)
        for (expansion, kernel), stride, before, channels, depth in zip(
            KINDS, variant.strides, inputs, variant.channels, variant.depths, strict=False
        )
    ]
    network: nn.Module = EfficientNet(stages, dropout, drop_path, num_classes=len(EMOTIONS), last_channel=variant.head)
    stem = network.get_submodule("features.0")
    assert isinstance(stem, nn.Sequential)
    stem[0] = nn.Conv2d(1, variant.stem, kernel_size=3, stride=2, padding=1, bias=False)
    if side != FACE_SIZE:
        # A hook and not a layer: the tensors keep their names, so that weights fit both sizes.
        network.register_forward_pre_hook(partial(_enlarge, side))
    return network


def _enlarge(side: int, network: "nn.Module", inputs: "tuple[torch.Tensor]") -> "torch.Tensor":
    from torch.nn import functional

    return functional.interpolate(inputs[0], size=(side, side), mode="bilinear", align_corners=False)
