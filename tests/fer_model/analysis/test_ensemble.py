"""Combining the members' outputs."""

import numpy as np
import pytest

from fer_model.analysis.ensemble import combine

OUTPUTS = np.random.default_rng(0).dirichlet(np.ones(7), (3, 50)).astype(np.float32)
SHARES = (0.5, 0.3, 0.2)


def test_the_mixture_is_the_weighted_mean() -> None:
    mixed = combine(OUTPUTS, SHARES)
    assert mixed.dtype == np.float64
    np.testing.assert_allclose(mixed, 0.5 * OUTPUTS[0] + 0.3 * OUTPUTS[1] + 0.2 * OUTPUTS[2], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1.0, 3.0, 100.0])
def test_rows_sum_to_one_and_the_answer_stays_the_same_at_any_temperature(temperature: float) -> None:
    mixed = combine(OUTPUTS, SHARES, temperature)
    np.testing.assert_allclose(mixed.sum(axis=1), 1)
    np.testing.assert_array_equal(mixed.argmax(axis=1), combine(OUTPUTS, SHARES).argmax(axis=1))


def test_a_temperature_divides_the_logits() -> None:
    logits = np.random.default_rng(1).normal(0, 2, (20, 7))
    output, divided = (np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (logits, logits / 1.7))
    np.testing.assert_allclose(combine(output[None], (1.0,), 1.7), divided)


def test_heat_makes_less_sure_and_cold_surer() -> None:
    warm, plain, cold = (combine(OUTPUTS, SHARES, each).max(axis=1).mean() for each in (2.0, 1.0, 0.5))
    assert warm < plain < cold


def test_a_probability_of_zero_stays_a_number() -> None:
    mixed = combine(np.eye(7)[None, :3], (1.0,), 0.05)
    np.testing.assert_allclose(mixed, np.eye(7)[:3], atol=1e-12)


def test_no_faces_give_no_rows() -> None:
    assert combine(np.zeros((2, 0, 7)), (0.5, 0.5), 2.0).shape == (0, 7)
