"""Fine-tunes the face detector with Ultralytics' trainer, on frames made to look like video."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_model.networks import detector_network, load_weights, save_weights
from fer_model.privacy import silence_ultralytics
from fer_model.training.degrade import degrade_randomly
from fer_model.training.faces import unpack, write_dataset_yaml


@dataclass(frozen=True, slots=True)
class DetectorRun:
    """A fine-tuning.

    `degradation` is the chance of each kind of `degrade.KINDS` per picture. `share` is how far
    the result goes from the start towards what training ended with, 0..1: between the two a
    network keeps what it knew and gains what is new (Wortsman et al., 2022, WiSE-FT).
    """

    epochs: int = 4
    batch: int = 16
    learning_rate: float = 2e-4
    degradation: float = 0.1
    share: float = 0.25
    seed: int = 0
    device: str = "cpu"


def train_detector(run: DetectorRun, init: Path, archives: Sequence[Path], validation: Path, folder: Path) -> Path:
    """Fine-tunes from `init` on the archives, choosing the epoch on `validation`; gives the weights' path.

    Goes on from the last epoch's checkpoint where the folder holds one; a finished run is not repeated.

    Raises:
        TrainingDataError: an archive is not in YOLO's layout.
        WeightsError: the start does not fit.
    """
    best = folder / "best.safetensors"
    if best.exists():
        return best
    folder.mkdir(parents=True, exist_ok=True)
    data = folder.resolve() / "data"
    names, held_out = unpack(archives, data), unpack([validation], data)
    held_out = [name for name in held_out if name not in names]
    description = write_dataset_yaml(data, names, held_out)
    trainer = _trainer(run, init, description, folder.resolve())
    trainer.train()
    trained = _plain_network(trainer.best if trainer.best.exists() else trainer.last)
    save_weights(between(load_weights(detector_network(), init), trained, run.share), best)
    return best


def between(start: Any, end: Any, share: float) -> Any:
    """`end` with every float moved back towards `start`: `share` 1 leaves it, 0 gives the start."""
    import torch

    with torch.no_grad():
        known = start.state_dict()
        for name, tensor in end.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(known[name].to(tensor), 1 - share)
    return end


def _trainer(run: DetectorRun, init: Path, description: Path, folder: Path) -> Any:
    silence_ultralytics(progress=True)
    from ultralytics.models.yolo.detect import DetectionTrainer

    settings = asdict(run)
    degradation, rate, _ = (settings.pop(name) for name in ("degradation", "learning_rate", "share"))

    class FaceTrainer(DetectionTrainer):
        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
            return weights or self.set_model_names_for_load(load_weights(detector_network(), init))  # type: ignore[no-untyped-call]

        def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
            dataset = super().build_dataset(img_path, mode, batch)
            if mode == "train":
                # Last but one: the last transform turns the picture into a tensor.
                dataset.transforms.transforms.insert(-1, _Degrade(degradation))
            return dataset

    last = folder / "run" / "weights" / "last.pt"
    overrides = {
        **settings, "model": "yolov8n.yaml", "data": str(description), "imgsz": 640, "lr0": rate,
        "optimizer": "AdamW", "warmup_epochs": 0.5, "close_mosaic": 1, "mosaic": 0.5, "scale": 0.6,
        "hsv_v": 0.5, "degrees": 8.0, "amp": False, "workers": 0, "plots": False, "exist_ok": True,
        "project": str(folder), "name": "run", "verbose": True,
        **({"resume": str(last)} if last.exists() else {}),
    }  # fmt: skip
    return FaceTrainer(overrides=overrides)


class _Degrade:
    """A transform of Ultralytics' pipeline: takes and gives a dictionary with the picture under `img`."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        # The trainer seeds `random`, so a run can be repeated.
        generator = np.random.default_rng(random.getrandbits(64))
        labels["img"] = degrade_randomly(labels["img"], self.probability, generator)
        return labels


def _plain_network(checkpoint: Path) -> Any:
    """The averaged network inside a checkpoint of our own trainer (the only pickle that is trusted)."""
    import torch

    saved = torch.load(checkpoint, weights_only=False)
    return (saved.get("ema") or saved["model"]).float()
