"""ImageNet weights as a classifier's initial weights, downloaded once, on first use."""

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from fer_model.atomic import write_atomically
from fer_model.digests import digest
from fer_model.errors import WeightsError

NAME = "imagenet-efficientnet-b0.safetensors"


def imagenet_features(cache: Path, url: str | None = None) -> Path:
    """The features of torchvision's EfficientNet-B0 (IMAGENET1K_V1) as a safetensors file in `cache`.

    `url` replaces torchvision's address of the download.

    Raises:
        WeightsError: they are not in the cache and cannot be downloaded, or what was put there is another file.
    """
    path = cache / NAME
    if path.exists():
        return path
    from safetensors.torch import save
    from torch.hub import load_state_dict_from_url
    from torchvision.models import EfficientNet_B0_Weights

    url = url or EfficientNet_B0_Weights.IMAGENET1K_V1.url
    # The file's name ends with the first digits of its sha256. Torch compares them with what it downloads itself.
    given = cache / "downloads" / PurePosixPath(urlsplit(url).path).name
    try:
        if given.exists() and not digest(given, "sha256").startswith(given.stem.rpartition("-")[2]):
            raise WeightsError(f"{given}: is not the file that {url} gives; delete it, or download it again")
        tensors = load_state_dict_from_url(
            url, str(given.parent), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
        features = {name: tensor for name, tensor in tensors.items() if name.startswith("features.")}
        write_atomically(path, save(features))
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the ImageNet weights cannot be had from {url} ({error}); download that file elsewhere into "
            f"{given.parent}, or give a file of your own with --init PATH"
        ) from error
    return path
