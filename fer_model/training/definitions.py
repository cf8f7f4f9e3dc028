"""Definitions of training runs, and the figures of an epoch. Light: imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHECKPOINT, BEST = "checkpoint.pt", "best.safetensors"
"""The files in a run's folder: the checkpoint, and the best weights so far."""


@dataclass(frozen=True, slots=True)
class ClassifierRun:
    """The complete definition of a classifier's training: deterministic on the same machine.

    `init` is a file of initial weights (an EfficientNet-B0's features, or a classifier of this
    project), or None for random ones. Training ends early after `patience` epochs without a better one.
    """

    recipe: str
    init: str | None = None
    epochs: int = 300
    batch: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    clip: float = 2.0
    patience: int = 20
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class DetectorRun:
    """A fine-tuning of the face detector.

    `degradation` is the probability of each kind of `degrade.KINDS` per picture. `share`, 0..1,
    interpolates the weights between the initial (0) and the trained ones (1), which keeps the
    accuracy on the original data (Wortsman et al., 2022, WiSE-FT).
    """

    epochs: int = 4
    batch: int = 16
    learning_rate: float = 2e-4
    degradation: float = 0.1
    share: float = 0.25
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Epoch:
    """The figures of one epoch: accuracies 0..1, wall time in seconds, of it `loading_seconds` for making batches.

    A detector's validation accuracy is the AP50 of the averaged network in training, not of the saved weights, which
    are interpolated (`DetectorRun.share`); it has no training accuracy, and loading is not measured.
    """

    epoch: int
    loss: float
    train_accuracy: float | None
    validation_accuracy: float
    learning_rate: float
    seconds: float
    loading_seconds: float | None

    @property
    def metadata(self) -> dict[str, str]:
        """The epoch's figures for the metadata of a classifier's weights: a row may be missing or another epoch's."""
        return {"best_epoch": str(self.epoch), "validation_accuracy": str(self.validation_accuracy)}


def trained_facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The figures in the metadata of an epoch's weights; empty for weights of another origin."""
    kinds = {"best_epoch": int, "validation_accuracy": float}
    return {name: kind(metadata[name]) for name, kind in kinds.items() if name in metadata}
