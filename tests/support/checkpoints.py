"""Stand-ins for published weights: random numbers in the real formats."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from fer_model.networks.classifiers import classifier_network
from fer_model.telemetry import disable_ultralytics_telemetry


def random_classifier(seed: int = 0) -> nn.Module:
    """A classifier whose outputs differ from picture to picture, as those of a trained one do."""
    torch.manual_seed(seed)
    return _lively(classifier_network(), torch.rand(16, 1, 48, 48) * 4 - 2)


def random_detector(config: str = "yolo12n.yaml", classes: int = 1) -> nn.Module:
    """An Ultralytics detector in the same way."""
    disable_ultralytics_telemetry()
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    return _lively(DetectionModel(config, nc=classes, verbose=False), torch.rand(4, 3, 128, 128))


def write_pth(path: Path, network: nn.Module, prefix: str = "model.", wrapper: str | None = None) -> bytes:
    """A file of tensors as `torch.save` writes them; returns its bytes."""
    tensors: Any = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({wrapper: tensors, "epoch": 3} if wrapper else tensors, path)
    return path.read_bytes()


def write_checkpoint(path: Path, network: nn.Module) -> bytes:
    """A checkpoint as Ultralytics writes them, the whole network pickled in half precision; returns its bytes."""
    content = {"epoch": -1, "model": network.half(), "ema": None, "train_args": {"imgsz": 640}, "version": "8.3.167"}
    torch.save(content, path)
    network.float()
    return path.read_bytes()


def _lively(network: nn.Module, pictures: torch.Tensor) -> nn.Module:
    """Batch statistics as after training; without them an untrained network's output hardly depends on its input."""
    network.train()
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.momentum = None
        nn.init.uniform_(cast("torch.Tensor", layer.weight), 0.5, 1.5)
        nn.init.normal_(cast("torch.Tensor", layer.bias), 0, 0.2)
    with torch.no_grad():
        network(pictures)
    return network.eval()
