"""Trains one classifier: AdamW, OneCycle, label smoothing, a checkpoint after every epoch."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fer_model.errors import FerModelError
from fer_model.networks import classifier_network, save_weights, start_from_features
from fer_model.preprocess import normalise
from fer_model.training.augment import augment
from fer_model.training.fer2013 import LabelledFaces
from fer_model.training.recipes import RECIPES

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClassifierRun:
    """The whole definition of a training run: the same one on the same machine gives the same weights."""

    recipe: str
    init: str | None = None
    epochs: int = 300
    batch: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    clip: float = 2.0
    patience: int = 20
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave: accuracies 0..1, wall time in seconds."""

    epoch: int
    loss: float
    train_accuracy: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


def train_classifier(
    run: ClassifierRun,
    training: LabelledFaces,
    validation: LabelledFaces,
    folder: Path,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Path:
    """Trains, or goes on where `folder`'s checkpoint stands; gives the path of the best epoch's weights.

    "Best" is the epoch with the highest validation accuracy; training ends early after
    `patience` epochs without a better one. Writes `checkpoint.pt` and `best.safetensors`.

    Raises:
        FerModelError: the loss is no longer a number (the best weights so far stay in the folder), or the
            folder holds the checkpoint of another run.
        WeightsError: the start does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = _start(run, len(training.labels))
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        if saved["run"] != asdict(run):
            raise FerModelError(f"{folder} holds a run of another definition; give another folder")
        _restore(state, saved)
    best = folder / "best.safetensors"
    while state["epoch"] < run.epochs and state["stale"] < run.patience:
        result = _one_epoch(run, state, training, validation)
        state["epoch"] += 1
        state["stale"] = 0 if result.validation_accuracy > state["best"] else state["stale"] + 1
        if not state["stale"]:
            state["best"] = result.validation_accuracy
            save_weights(state["network"], best)
        _save(run, state, checkpoint)
        logger.info("%s", asdict(result))
        on_epoch(result)
    return best


def _start(run: ClassifierRun, examples: int) -> dict[str, Any]:
    torch.manual_seed(run.seed)
    network = classifier_network()
    if run.init:
        start_from_features(network, Path(run.init))
    network.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(_decay_groups(network, run.weight_decay), lr=run.learning_rate)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, run.learning_rate, epochs=run.epochs, steps_per_epoch=-(-examples // run.batch)
    )
    parts = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
    return {**parts, "epoch": 0, "best": -1.0, "stale": 0}


def _decay_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay pulls on matrices and kernels only, never on biases and normalisation."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _one_epoch(run: ClassifierRun, state: dict[str, Any], training: LabelledFaces, validation: LabelledFaces) -> Epoch:
    network, began = state["network"].train(), time.perf_counter()
    images, labels = torch.from_numpy(training.images)[:, None], torch.from_numpy(training.labels)
    losses, correct = 0.0, 0
    for rows in torch.randperm(len(labels)).split(run.batch):
        loss, logits = _step(run, state, images[rows].float(), labels[rows])
        losses += loss * len(rows)
        correct += int((logits.argmax(1).cpu() == labels[rows]).sum())
    accuracy = float((predict(network, validation.images).argmax(1) == validation.labels).mean())
    return Epoch(
        epoch=state["epoch"] + 1,
        loss=losses / len(labels),
        train_accuracy=correct / len(labels),
        validation_accuracy=accuracy,
        learning_rate=state["scheduler"].get_last_lr()[0],
        seconds=time.perf_counter() - began,
    )


def _step(run: ClassifierRun, state: dict[str, Any], images: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    network = state["network"]
    images, targets = augment(images, labels, RECIPES[run.recipe])
    images = normalise(images).to(run.device, memory_format=torch.channels_last)
    logits = network(images)
    loss = functional.cross_entropy(logits, targets.to(run.device), label_smoothing=run.label_smoothing)
    if not torch.isfinite(loss):
        raise FerModelError(f"the loss is no longer a number in epoch {state['epoch'] + 1}; lower the learning rate")
    state["optimizer"].zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), run.clip)
    state["optimizer"].step()
    state["scheduler"].step()
    return float(loss.detach()), logits.detach()


@torch.inference_mode()
def predict(network: nn.Module, images: NDArray[np.uint8], batch: int = 256) -> NDArray[np.float32]:
    """Softmax probabilities (N, 7) of (N, 48, 48) grey pictures 0..255."""
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(normalise(part[:, None].float()).to(device)).softmax(1).cpu()
        for part in torch.from_numpy(images).split(batch)
    ]
    return torch.cat(parts).numpy()


def _save(run: ClassifierRun, state: dict[str, Any], path: Path) -> None:
    plain = {name: state[name] for name in ("epoch", "best", "stale")}
    parts = {name: state[name].state_dict() for name in ("network", "optimizer", "scheduler")}
    partial = path.with_suffix(".partial")
    torch.save({"run": asdict(run), **plain, **parts, "random": torch.get_rng_state()}, partial)
    partial.replace(path)


def _restore(state: dict[str, Any], saved: dict[str, Any]) -> None:
    for name in ("network", "optimizer", "scheduler"):
        state[name].load_state_dict(saved[name])
    state.update({name: saved[name] for name in ("epoch", "best", "stale")})
    torch.set_rng_state(saved["random"])
