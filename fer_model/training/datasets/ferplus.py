"""FER+ (Barsoum et al., 2016): ten taggers' votes on every face of FER-2013, as soft targets.

FER+ has its own classes, and its taggers often disagree with FER-2013's label. A multinomial
logistic regression, fitted on the training rows, therefore maps the votes for a face to the
probability of each FER-2013 label.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fer_model.errors import TrainingDataError
from fer_model.types import EMOTIONS

CLASSES = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
NO_FACE = CLASSES.index("NF")
RIDGE = 1e-4


def read_votes(path: Path, usage: str) -> NDArray[np.int64]:
    """Votes (N, 10) per class of `CLASSES` for the rows of one `Usage`, in the order of fer2013.csv.

    Raises:
        TrainingDataError: the file cannot be read, or a row is invalid.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if absent := [name for name in ("Usage", *CLASSES) if name not in (reader.fieldnames or ())]:
                raise TrainingDataError(f"{path}: the column {absent[0]!r} is missing (found {reader.fieldnames})")
            rows = [_votes(path, reader.line_num, row) for row in reader if row["Usage"] == usage]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path}: cannot be read ({error})") from error
    return np.array(rows, np.int64).reshape(-1, len(CLASSES))


def _votes(path: Path, number: int, row: dict[str, str]) -> list[int]:
    try:
        votes = [int(row[name]) for name in CLASSES]
        if min(votes) < 0:
            raise ValueError("a number of votes is negative")
    except (TypeError, ValueError) as error:
        raise TrainingDataError(f"{path}: row {number}: the votes are not whole numbers from 0 on") from error
    return votes


def label_probabilities(votes: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The probability (N, 7) of each FER-2013 label given a face's votes (N, 10), fitted on these very rows."""
    inputs, wanted = _features(votes), torch.from_numpy(labels)
    weights = torch.zeros(inputs.shape[1], len(EMOTIONS), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(inputs @ weights, wanted) + RIDGE * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (inputs @ weights).softmax(1).detach().numpy()


def shows_face(votes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each row of votes (N, 10) whether "not a face" is not the most frequent one."""
    clear: NDArray[np.bool_] = votes.argmax(1) != NO_FACE
    return clear


def _features(votes: NDArray[np.int64]) -> Tensor:
    """Votes as shares and as logarithms, and a constant."""
    counts = torch.from_numpy(votes).float()
    return torch.cat((torch.log(counts + 0.5), counts / 10, torch.ones(len(counts), 1)), 1)
