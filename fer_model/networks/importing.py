"""Imports third-party weights: converts them to safetensors files that `load_weights` and `load_detector` read."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fer_model.digests import matches
from fer_model.errors import WeightsError
from fer_model.networks.architectures import read_metadata
from fer_model.networks.classifiers import METADATA_KEY, classifier_network
from fer_model.networks.loading import (
    SIDE_KEY,
    STEM,
    STRENGTH_KEY,
    classifier_side,
    classifier_variant,
    load_detector,
    read_tensors,
    save_weights,
)
from fer_model.networks.published import REGISTRY, Kind
from fer_model.preprocess import PIXEL_MEAN, PIXEL_STD
from fer_model.telemetry import disable_ultralytics_telemetry

if TYPE_CHECKING:
    import torch
    from torch import nn

KEPT = (SIDE_KEY, METADATA_KEY, STRENGTH_KEY)
"""Metadata of a classifier without which its tensors would mean something else."""

WRAPPERS = ("state_dict", "model_state_dict", "model")


def kind_of(path: Path) -> Kind:
    """Whether a file holds a classifier or a detector, judged by its name and the names of its tensors.

    Raises:
        WeightsError: it is a safetensors file that cannot be read.
    """
    if path.suffix == ".safetensors":
        return "classifier" if any(name.endswith(STEM) for name in read_tensors(path)) else "detector"
    return "classifier" if path.suffix == ".pth" else "detector"


def is_known(path: Path) -> bool:
    """Whether the registry lists the digest of these bytes. Raises `OSError`."""
    return any(matches(path, file.digest) for entry in REGISTRY.values() for file in entry.files if file.digest)


def adopt_classifier(path: Path, target: Path, mean: float | None = None, std: float | None = None) -> None:
    """A classifier from a safetensors file, or from a torch file that holds only tensors.

    Tensors may be nested in a dictionary (`state_dict` ...) and their names may have prefixes. `mean` and `std`
    normalised its pixels, scaled to 0..1, in training, if not the usual ones; see `renormalise`.

    Raises:
        WeightsError: the file cannot be read, holds more than tensors, or is of another architecture.
    """
    ours = path.suffix == ".safetensors"
    tensors = read_tensors(path) if ours else _read_torch(path)
    prefix = next((name.removesuffix(STEM) for name in tensors if name.endswith(STEM)), "")
    network = classifier_network(classifier_side(path), classifier_variant(path)) if ours else classifier_network()
    try:
        network.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    except RuntimeError as error:
        raise WeightsError(f"{path}: is not an EfficientNet-B0 of one channel and seven classes") from error
    if mean is not None and std is not None:
        renormalise(network, mean, std)
    metadata = read_metadata(path) if ours else {}
    save_weights(network, target, {key: text for key, text in metadata.items() if key in KEPT})


def renormalise(network: "nn.Module", mean: float, std: float) -> None:
    """Makes a classifier of pixels `(x / 255 - mean) / std` one of pixels as `preprocess.normalise` gives them.

    The difference is a factor, folded into the first convolution, and a constant, folded into the mean of the batch
    normalisation after it. Exact except at the upper and left edge, where the convolution's padding is a grey of
    129.5 (255 * PIXEL_MEAN) instead of 255 * `mean`.
    """
    import torch

    stem = cast("Any", network.get_submodule("features.0"))
    with torch.no_grad():
        stem[1].running_mean -= (PIXEL_MEAN - mean) / std * stem[0].weight.sum(dim=(1, 2, 3))
        stem[0].weight *= PIXEL_STD / std


def adopt_detector(path: Path, target: Path, *, trusted: bool) -> None:
    """A detector from a safetensors file, or from an Ultralytics checkpoint (`.pt`) of one class.

    A checkpoint is a pickle, which may run any code: it is opened only if it is `trusted` or listed in the registry,
    and first with torch's loader for known classes alone.

    Raises:
        WeightsError: the checkpoint is not trusted, the file cannot be read, or the detector is of a kind
            that is not supported.
    """
    if path.suffix == ".safetensors":
        network = load_detector(path)
    elif trusted or is_known(path):
        network = _read_checkpoint(path)
    else:
        raise WeightsError(
            f"{path}: is a pickle, which runs what its maker wants when it is opened; "
            "if you know where it comes from, add --trust"
        )
    save_weights(network, target)
    try:
        load_detector(target)
    except WeightsError as error:
        target.unlink()
        # The message names the user's file, not the temporary target.
        raise WeightsError(str(error).replace(str(target), str(path))) from error


def _read_torch(path: Path) -> "dict[str, torch.Tensor]":
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: the weights cannot be read ({error.strerror})") from error
    except Exception as error:
        # The exception that torch raises for a file of another kind depends on its first bytes.
        raise WeightsError(f"{path}: holds more than tensors, or is no file of torch; it was not opened") from error
    while isinstance(content, dict) and (wrapper := next((name for name in WRAPPERS if name in content), None)):
        content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        raise WeightsError(f"{path}: holds no tensors by name")
    return content


def _read_checkpoint(path: Path) -> "nn.Module":
    disable_ultralytics_telemetry()
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    try:
        try:
            content, _ = torch_safe_load(path, safe_only=True)
        except TypeError:
            content = torch.load(path, map_location="cpu", weights_only=False)
        network: nn.Module = (content.get("ema") or content["model"]).float()
    except Exception as error:
        raise WeightsError(f"{path}: cannot be read as an Ultralytics checkpoint ({error})".splitlines()[0]) from error
    return network
