"""What defines a training run, and what each of its epochs gives. Light: imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHECKPOINT, BEST = "checkpoint.pt", "best.safetensors"
"""The files in a run's folder: what it goes on from, and its best weights so far."""


@dataclass(frozen=True, slots=True)
class ClassifierRun:
    """The whole definition of a classifier's training: the same one on the same machine gives the same weights.

    `init` is a file to start from (an EfficientNet-B0's features, or a classifier of ours), or
    None for random weights. Training ends early after `patience` epochs without a better one.
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


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave: accuracies 0..1, wall time in seconds, `loading_seconds` of it spent on making batches.

    A detector's validation accuracy is the AP50 of the averaged network in training, not of the weights that are
    kept, which are a part of the way there; it has no training accuracy, and loading is not measured.
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
        """What a classifier's weights of this epoch say of it: a row may be missing or be another epoch's."""
        return {"best_epoch": str(self.epoch), "validation_accuracy": str(self.validation_accuracy)}


def trained_facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the weights of an epoch say of themselves; empty for weights of another origin."""
    kinds = {"best_epoch": int, "validation_accuracy": float}
    return {name: kind(metadata[name]) for name, kind in kinds.items() if name in metadata}
