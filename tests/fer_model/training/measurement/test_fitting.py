"""Shares and temperature against known optima."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_model.analysis.ensemble import combine
from fer_model.training.measurement.fitting import (
    TOLERANCE,
    cross_entropy,
    fit_and_measure,
    fit_ensemble,
    fit_shares,
    fit_temperature,
)


def drawn(probabilities: NDArray[np.float64], seed: int = 0) -> NDArray[np.int64]:
    """One label for each row, drawn with its probabilities."""
    chances = np.random.default_rng(seed).random((len(probabilities), 1))
    return np.minimum((probabilities.cumsum(axis=1) < chances).sum(axis=1), 6)


def opinions(members: int, faces: int, seed: int = 0) -> NDArray[np.float32]:
    """Outputs (members, faces, 7) of members that disagree."""
    return np.random.default_rng(seed).dirichlet(np.full(7, 0.4), (members, faces)).astype(np.float32)


def test_shares_go_to_the_member_that_is_right() -> None:
    labels = np.array([0, 1, 2, 3])
    right = np.full((4, 7), 0.02, np.float32)
    right[np.arange(4), labels] = 0.88
    wrong = np.full((4, 7), 1 / 7, np.float32)
    assert fit_shares(np.stack([right, wrong]), labels) == pytest.approx((1, 0), abs=1e-4)
    assert fit_shares(np.stack([wrong, right, wrong]), labels) == pytest.approx((0, 1, 0), abs=1e-4)


def test_two_members_with_different_strengths_share() -> None:
    labels = np.array([0, 0, 1, 1])
    sure_of_0, sure_of_1 = np.full((4, 7), 0.05, np.float32), np.full((4, 7), 0.05, np.float32)
    sure_of_0[:2, 0], sure_of_1[2:, 1] = 0.7, 0.7
    assert fit_shares(np.stack([sure_of_0, sure_of_1]), labels) == pytest.approx((0.5, 0.5))


def test_shares_recover_a_known_mixture() -> None:
    outputs, shares = opinions(3, 20_000), (0.6, 0.3, 0.1)
    assert fit_shares(outputs, drawn(combine(outputs, shares))) == pytest.approx(shares, abs=0.02)


def test_no_other_shares_have_a_lower_cross_entropy() -> None:
    outputs = opinions(3, 300)
    labels = drawn(combine(outputs, (0.2, 0.5, 0.3)))
    least = cross_entropy(combine(outputs, fit_shares(outputs, labels)), labels)
    for shares in np.random.default_rng(3).dirichlet(np.ones(3), 500):
        assert cross_entropy(combine(outputs, shares), labels) > least - 2 * TOLERANCE


def test_the_same_member_twice_is_no_better_than_once() -> None:
    one = opinions(1, 100)
    assert fit_shares(np.concatenate([one, one]), drawn(combine(one, (1.0,)))) == (0.5, 0.5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_recovers_a_known_one(temperature: float) -> None:
    outputs, shares = opinions(2, 20_000), (0.5, 0.5)
    labels = drawn(combine(outputs, shares, temperature))
    assert fit_temperature(outputs, shares, labels) == pytest.approx(temperature, rel=0.05)


def test_one_member_gets_everything_and_a_temperature() -> None:
    outputs = opinions(1, 20_000)
    shares, temperature = fit_ensemble(outputs, drawn(combine(outputs, (1.0,), 2.0)))
    assert shares == (1.0,) and temperature == pytest.approx(2, rel=0.05)


def test_answers_that_are_always_right_leave_numbers() -> None:
    outputs = np.eye(7, dtype=np.float32)[None]
    shares, temperature = fit_ensemble(outputs, np.arange(7))
    assert shares == (1.0,) and 0.04 < temperature < 21


def test_a_label_that_no_member_thinks_possible_is_no_disaster() -> None:
    shares, temperature = fit_ensemble(np.eye(7, dtype=np.float32)[None], np.array([1, 1, 2, 3, 4, 5, 6]))
    assert np.isfinite([*shares, temperature]).all()


def test_a_fit_tells_what_it_reaches() -> None:
    outputs = opinions(2, 5000)
    labels = drawn(combine(outputs, (0.7, 0.3), 2.0))
    fit = fit_and_measure(outputs, labels)
    assert fit.n == 5000 and sum(fit.shares) == pytest.approx(1)
    assert fit.members == tuple(100 * (output.argmax(axis=1) == labels).mean() for output in outputs)
    assert fit.accuracy > max(fit.members)
    assert fit.ece < 0.03 < fit.ece_before, "the answers were made too sure"
    assert fit.cross_entropy < fit.cross_entropy_before


def test_cross_fitted_figures_do_not_profit_from_the_faces_that_they_are_measured_on() -> None:
    """Labels that no member knows anything about: fitted shares seem to help, those of other faces do not."""
    outputs = opinions(6, 60)
    fit = fit_and_measure(outputs, drawn(np.full((60, 7), 1 / 7)))
    assert fit.crossed_cross_entropy is not None and fit.crossed_cross_entropy > fit.cross_entropy
    few = fit_and_measure(outputs[:, :4], np.arange(4))
    assert few.crossed_accuracy is few.crossed_ece is few.crossed_cross_entropy is None
