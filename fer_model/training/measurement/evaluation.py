"""Evaluation of a classifier: accuracy, per-class figures and calibration, from probabilities and labels."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_model.errors import TrainingDataError
from fer_model.types import EMOTIONS

RESAMPLES = 2000
BINS = 15
"""As in Guo et al. (2017), so that the figures are comparable."""

Probabilities = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One emotion's precision, recall and F1 (0..1; 0 where the divisor is 0), and its `n` labelled faces."""

    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """The reliability diagram's data: `BINS` equal bins of confidence in 0..1, the lowest first.

    `count` (BINS,) faces, `confidence` and `accuracy` (BINS,) their means, 0..1; 0 in empty bins.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error, 0..1: the mean distance of accuracy and confidence (Guo et al., 2017)."""
        return float((self.count * np.abs(self.accuracy - self.confidence)).sum() / self.count.sum())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of an evaluation on `n` faces.

    `accuracy` and its 95 % interval `ci95` in per cent; `macro_f1` and `ece` 0..1; `confusion`
    (7, 7) faces, one row for each label, one column for each answer, in the order of `EMOTIONS`.
    """

    n: int
    accuracy: float
    ci95: tuple[float, float]
    macro_f1: float
    ece: float
    per_class: dict[str, ClassFigures]
    confusion: NDArray[np.int64]
    reliability: Reliability

    def as_dict(self) -> dict[str, Any]:
        """Everything but the bins of calibration, for JSON."""
        return {
            "accuracy": self.accuracy,
            "ci95": list(self.ci95),
            "macro_f1": self.macro_f1,
            "ece": self.ece,
            "per_class": {emotion: asdict(figures) for emotion, figures in self.per_class.items()},
            "confusion": self.confusion.tolist(),
            "n": self.n,
        }


def evaluate(probabilities: Probabilities, labels: NDArray[np.int64]) -> Evaluation:
    """All figures for probabilities (N, 7) whose rows sum to 1, and labels (N,) 0..6.

    Raises:
        TrainingDataError: there is no face.
    """
    if not len(labels):
        raise TrainingDataError("there is no face to evaluate on")
    guesses = probabilities.argmax(axis=1)
    matrix, bins = confusion_matrix(labels, guesses), reliability(probabilities, labels)
    low, high = bootstrap_interval(int((guesses == labels).sum()), len(labels))
    return Evaluation(
        n=len(labels),
        accuracy=100 * accuracy(probabilities, labels),
        ci95=(100 * low, 100 * high),
        macro_f1=macro_f1(matrix),
        ece=bins.error,
        per_class=per_class(matrix),
        confusion=matrix,
        reliability=bins,
    )


def accuracy(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """Share of faces whose most probable emotion is the label, 0..1."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def bootstrap_interval(right: int, count: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval (Efron, 1979) of an accuracy of `right` out of `count`, 0..1.

    The number of right answers in a resample of `count` faces is binomial, so that is drawn
    directly.
    """
    accuracies = np.random.default_rng(0).binomial(count, right / count, resamples) / count
    low, high = np.quantile(accuracies, [0.025, 0.975])
    return float(low), float(high)


def confusion_matrix(labels: NDArray[np.int64], guesses: NDArray[np.int64]) -> NDArray[np.int64]:
    """Faces (7, 7) by label (row) and answer (column)."""
    classes = len(EMOTIONS)
    return np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)


def per_class(confusion: NDArray[np.int64]) -> dict[str, ClassFigures]:
    """Each emotion's figures from a confusion matrix (7, 7)."""
    right, labelled, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    columns = (_ratio(right, answered), _ratio(right, labelled), _ratio(2 * right, labelled + answered), labelled)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {emotion: ClassFigures(*row) for emotion, row in zip(EMOTIONS, rows, strict=True)}


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """The unweighted mean F1 (0..1) of the emotions that occur in the labels or the answers."""
    occurring = confusion.sum(axis=1) + confusion.sum(axis=0) > 0
    f1 = np.array([figures.f1 for figures in per_class(confusion).values()])
    return float(f1[occurring].mean())


def reliability(probabilities: Probabilities, labels: NDArray[np.int64]) -> Reliability:
    """The answers to (N, 7) probabilities in bins of their confidence: [0, 1/15], (1/15, 2/15] and so on."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    sums = (np.bincount(place, weights=values, minlength=BINS) for values in (confidence, right))
    return Reliability(count, *(_ratio(each, count) for each in sums))


def _ratio(part: NDArray[Any], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """`part / whole`, 0 where `whole` is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
