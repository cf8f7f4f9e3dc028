"""Logit adjustment (Menon et al., ICLR 2021): a classifier finds emotions that it has seen in few pictures.

A softmax network learns p(emotion | picture) for the shares of its training set, so that it answers rarely what was
rare there. Taking `strength` times the logarithm of these shares from its logits undoes this: wholly at 1, as if all
emotions had been equally frequent.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fer_model.errors import WeightsError
from fer_model.networks.architectures import read_metadata
from fer_model.networks.loading import STRENGTH_KEY, load_classifier, save_weights
from fer_model.types import EMOTIONS


def adjust(weights: Path, labels: NDArray[np.int64], strength: float, output: Path) -> None:
    """Writes a classifier's weights with the bias of its last layer adjusted; nothing else changes.

    `labels` (N,) are those of its training set, 0..6, each at least once; `strength` is above 0 and at most 1.

    Raises:
        WeightsError: the weights cannot be read, or have been adjusted before.
        ValueError: an emotion has no label, or `strength` is not in its range.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"the strength is {strength}, not above 0 and at most 1")
    metadata = read_metadata(weights)
    if STRENGTH_KEY in metadata:
        raise WeightsError(f"{weights}: has been adjusted already, by {metadata[STRENGTH_KEY]}")
    shares = log_shares(labels)
    network = load_classifier(weights)
    with torch.no_grad():
        network.get_parameter("classifier.1.bias").sub_(strength * shares)
    # What the training measured no longer holds.
    kept = {key: value for key, value in metadata.items() if key != "validation_accuracy"}
    save_weights(network, output, {**kept, STRENGTH_KEY: f"{strength:g}"})


def log_shares(labels: NDArray[np.int64]) -> torch.Tensor:
    """The logarithm of each emotion's share in labels (N,) 0..6, as (7,). Raises `ValueError` if one has no label."""
    counts = np.bincount(labels, minlength=len(EMOTIONS))
    if not counts.all():
        raise ValueError(f"the training set has no picture of {EMOTIONS[int(counts.argmin())]}")
    return torch.from_numpy(np.log(counts / counts.sum())).float()
