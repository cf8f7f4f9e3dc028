"""ImageNet weights as a classifier's initial weights, downloaded once, on first use."""

from pathlib import Path

from fer_model.atomic import write_atomically
from fer_model.errors import WeightsError

NAME = "imagenet-efficientnet-b0.safetensors"


def imagenet_features(cache: Path, url: str | None = None) -> Path:
    """The features of torchvision's EfficientNet-B0 (IMAGENET1K_V1) as a safetensors file in `cache`.

    `url` replaces torchvision's address of the download.

    Raises:
        WeightsError: they are not in the cache and cannot be downloaded.
    """
    path = cache / NAME
    if path.exists():
        return path
    from safetensors.torch import save
    from torch.hub import load_state_dict_from_url
    from torchvision.models import EfficientNet_B0_Weights

    url = url or EfficientNet_B0_Weights.IMAGENET1K_V1.url
    try:
        # The file's name ends with the first digits of its sha256, which is verified.
        tensors = load_state_dict_from_url(
            url, str(cache / "downloads"), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
        features = {name: tensor for name, tensor in tensors.items() if name.startswith("features.")}
        write_atomically(path, save(features))
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the ImageNet weights cannot be had from {url} ({error}); download that file elsewhere into "
            f"{cache / 'downloads'}, or give a file of your own with --init PATH"
        ) from error
    return path
