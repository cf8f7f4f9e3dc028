"""Combines the members' outputs: the same function for inference, evaluation and fitting."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-12
"""Floor for probabilities, so that their logarithms are finite."""


def combine(outputs: NDArray[Any], shares: Sequence[float], temperature: float = 1.0) -> NDArray[np.float64]:
    """The ensemble's probabilities (N, 7), rows summing to 1, from the members' softmax outputs (M, N, 7).

    The weighted mean of the outputs by `shares` (M, not all zero), then softmax(log(mean) / `temperature`):
    above 1 lowers the confidence, below 1 raises it, and the most probable emotion stays the same
    (temperature scaling, Guo et al., 2017).
    """
    mean = np.einsum("m,mne->ne", np.asarray(shares, np.float64), outputs.astype(np.float64))
    if temperature != 1:
        logarithm = np.log(np.maximum(mean, LEAST)) / temperature
        # The largest becomes exp(0), so that no row underflows to zeros at a low temperature.
        mean = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    return np.asarray(mean / mean.sum(axis=1, keepdims=True))
