"""Fits an ensemble to labelled faces: the members' shares and the mixture's temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_model.analysis.ensemble import LEAST, combine
from fer_model.training.measurement.evaluation import accuracy, reliability

COLDEST, HOTTEST = 0.05, 20.0
"""Bounds of the temperature; for a classifier without errors the optimum would be 0."""

TOLERANCE = 1e-6
"""Tolerance of the cross-entropy above its minimum, in nats per face."""

STEPS = 20_000
FOLDS = 5


def fit_ensemble(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[tuple[float, ...], float]:
    """Shares of the members (M >= 1, summing to 1) and a temperature, for outputs (M, N, 7) and labels (N,).

    First the shares with the least cross-entropy of the mixture, then the temperature with the
    least cross-entropy of what `combine` makes of it. Cross-entropy and not accuracy: it changes
    smoothly, so that a handful of faces decides nothing.
    """
    shares = fit_shares(outputs, labels)
    return shares, fit_temperature(outputs, shares, labels)


def fit_shares(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, ...]:
    """The shares alone: expectation maximisation of a mixture's proportions (Dempster et al., 1977).

    The problem is convex, and the largest gain of a member minus 1 bounds the distance to the
    minimum: that is the stopping criterion.
    """
    likelihoods = np.maximum(outputs[:, np.arange(len(labels)), labels].astype(np.float64), LEAST)
    shares = np.full(len(outputs), 1 / len(outputs))
    for _ in range(STEPS):
        gains = (likelihoods / (shares @ likelihoods)).mean(axis=1)
        if gains.max() - 1 < TOLERANCE:
            break
        shares *= gains
    return tuple((shares / shares.sum()).tolist())


def fit_temperature(outputs: NDArray[np.float32], shares: Sequence[float], labels: NDArray[np.int64]) -> float:
    """The temperature alone, between 0.05 and 20 (temperature scaling, Guo et al., 2017)."""
    from scipy.optimize import minimize_scalar

    mixture = combine(outputs, shares)[None]

    def loss(log_temperature: float) -> float:
        return cross_entropy(combine(mixture, (1.0,), np.exp(log_temperature)), labels)

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def cross_entropy(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The mean of -log of the label's probability, in nats a face, for probabilities (N, 7)."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], LEAST)).mean())


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted ensemble, and its figures on the `n` faces that it was fitted on.

    `members` and `accuracy` in per cent; cross-entropy in nats a face and calibration error 0..1,
    each without (`..._before`) and with the temperature, which lowers the former and mostly the
    latter. These are slightly optimistic, since they are measured on the fitted faces; the
    `crossed_...` ones are not: each fifth of the faces by what was fitted on the others. They are
    None for fewer faces than folds.
    """

    shares: tuple[float, ...]
    temperature: float
    members: tuple[float, ...]
    accuracy: float
    cross_entropy_before: float
    cross_entropy: float
    ece_before: float
    ece: float
    crossed_accuracy: float | None
    crossed_cross_entropy: float | None
    crossed_ece: float | None
    n: int


def fit_and_measure(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> Fit:
    """`fit_ensemble` and the figures of the result, for at least one face."""
    shares, temperature = fit_ensemble(outputs, labels)
    before, after = (combine(outputs, shares, each) for each in (1.0, temperature))
    crossed = cross_fitted(outputs, labels) if len(labels) >= FOLDS else None
    return Fit(
        shares=shares,
        temperature=temperature,
        members=tuple(100 * accuracy(output, labels) for output in outputs),
        accuracy=100 * accuracy(after, labels),
        cross_entropy_before=cross_entropy(before, labels),
        cross_entropy=cross_entropy(after, labels),
        ece_before=reliability(before, labels).error,
        ece=reliability(after, labels).error,
        crossed_accuracy=None if crossed is None else 100 * accuracy(crossed, labels),
        crossed_cross_entropy=None if crossed is None else cross_entropy(crossed, labels),
        crossed_ece=None if crossed is None else reliability(crossed, labels).error,
        n=len(labels),
    )


def cross_fitted(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities (N, 7) of each fifth of the faces by the shares and the temperature fitted on the others."""
    fold = np.arange(len(labels)) % FOLDS
    mixed = np.empty(outputs.shape[1:], np.float64)
    for each in range(FOLDS):
        mine = fold == each
        mixed[mine] = combine(outputs[:, mine], *fit_ensemble(outputs[:, ~mine], labels[~mine]))
    return mixed
