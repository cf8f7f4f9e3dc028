"""Detector architectures, as the metadata of the weights describe them. Only listed layers are built."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_model.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn

METADATA_KEY = "ultralytics"
PARTS = ("nc", "scale", "scales", "depth_multiple", "width_multiple", "backbone", "head", "reg_max", "end2end")
LAYERS = (
    *("Conv", "DWConv", "GhostConv", "Focus", "ADown", "AConv", "SCDown", "Concat", "nn.Upsample", "Detect"),
    *("C3", "C2f", "C3k2", "A2C2f", "C3Ghost", "C2fCIB", "RepC3", "RepNCSPELAN4", "ELAN1", "CBLinear", "CBFuse"),
    *("SPPF", "SPPELAN", "PSA", "C2PSA"),
)
"""Layers of YOLOv5 to YOLO12. Ultralytics resolves any name among its functions, and some of those load pickles."""

STRIDES = (8, 16, 32)
"""Pixels between neighbouring anchors, for each of the head's three maps."""

BINS = 16
"""Distances to a side of the box are distributions over 0 to 15 strides (Li et al., 2020; Ultralytics YOLOv8)."""

USUAL_ACTIVATION = "nn.SiLU()"
TRIAL_SIDE = 128


def described(network: "nn.Module") -> dict[str, str]:
    """The metadata for a network's safetensors file; empty for one that Ultralytics did not build."""
    config = getattr(network, "yaml", None)
    if not isinstance(config, dict):
        return {}
    parts = {part: config[part] for part in PARTS if part in config}
    if config.get("activation", USUAL_ACTIVATION) != USUAL_ACTIVATION:
        # Kept, so that loading refuses it: built without it, the network would give wrong results.
        parts["activation"] = config["activation"]
    return {METADATA_KEY: json.dumps(parts, sort_keys=True)}


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file. Raises `WeightsError`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({error})") from error


def architecture_of(path: Path) -> dict[str, Any] | None:
    """The Ultralytics configuration in a safetensors file's metadata; None where there is none.

    Raises:
        WeightsError: the file cannot be read, or describes an architecture that is not supported.
    """
    text = read_metadata(path).get(METADATA_KEY)
    try:
        return None if text is None else _checked(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: describes a detector that cannot be built ({error})") from error


def summary(config: Mapping[str, Any]) -> str:
    """A summary such as `yolo n: Conv, C3k2, A2C2f`, without the layers that every detector has."""
    layers = dict.fromkeys(layer for _, _, layer, _ in [*config["backbone"], *config["head"]])
    telling = [layer for layer in layers if layer not in ("Concat", "nn.Upsample", "Detect")]
    return f"yolo {config.get('scale') or ''}: {', '.join(telling)}"


def _checked(config: Mapping[str, Any]) -> dict[str, Any]:
    # `activation`, which is not among the parts, would be evaluated as Python code.
    if unknown := set(config) - set(PARTS):
        raise ValueError(f"unknown part {sorted(unknown)[0]!r}")
    if config.get("nc") != 1:
        raise ValueError(f"it knows {config.get('nc')} classes, not faces alone")
    for _, _, layer, _ in [*config["backbone"], *config["head"]]:
        if layer not in LAYERS:
            raise ValueError(f"unknown layer {layer!r}")
    return dict(config)


def check_head(network: "nn.Module", path: Path) -> None:
    """Raises `WeightsError` unless the network has the head that the engines decode.

    That is one class, distances as distributions over `BINS` strides, and `STRIDES`: YOLOv8, YOLO11 and YOLO12 have it;
    YOLOv10 and YOLO26, which need no non-maximum suppression, do not.
    """
    import torch

    anchors = sum((TRIAL_SIDE // stride) ** 2 for stride in STRIDES)
    try:
        with torch.inference_mode():
            head = network.eval()(torch.zeros(1, 3, TRIAL_SIDE, TRIAL_SIDE))[1]
        boxes, scores = head["boxes"].shape, head["scores"].shape
    except (LookupError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path}: this detector's head is of a kind that is not supported") from error
    if tuple(scores) != (1, 1, anchors):
        raise WeightsError(f"{path}: a detector of one class at strides 8, 16 and 32 is wanted, not {tuple(scores)}")
    if boxes[1] != 4 * BINS:
        raise WeightsError(f"{path}: this detector's boxes are of a kind that is not supported")
