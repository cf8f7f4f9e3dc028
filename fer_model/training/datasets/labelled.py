"""Labelled faces, the result of every reader of training data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelledFaces:
    """Faces with one emotion each.

    `images` (N, 48, 48) grey 0..255, `labels` (N,) indices into `EMOTIONS`; `votes` (N, 7), where
    FER+ votes are available, is the probability of each label given the votes for that face, and
    `taught` (N, 7), where there are teachers, their probabilities.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.float32] | None = None
    taught: NDArray[np.float32] | None = None
