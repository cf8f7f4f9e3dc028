"""Figures against cases whose answer is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_model.errors import TrainingDataError
from fer_model.training.measurement.evaluation import (
    BINS,
    accuracy,
    bootstrap_interval,
    confusion_matrix,
    evaluate,
    macro_f1,
    per_class,
    reliability,
)
from fer_model.types import EMOTIONS


def answers(guesses: list[int], confidence: float) -> NDArray[np.float64]:
    """Probabilities (N, 7) of these answers, all equally sure."""
    probabilities = np.full((len(guesses), 7), (1 - confidence) / 6)
    probabilities[np.arange(len(guesses)), guesses] = confidence
    return probabilities


def test_accuracy_is_the_share_of_right_answers() -> None:
    assert accuracy(answers([0, 1, 2, 3], 0.9), np.array([0, 1, 2, 4])) == 0.75


def test_rows_of_the_confusion_matrix_are_labels_and_columns_are_answers() -> None:
    matrix = confusion_matrix(np.array([0, 0, 6, 6, 6]), np.array([0, 1, 6, 6, 0]))
    expected = np.zeros((7, 7), np.int64)
    expected[0, 0], expected[0, 1], expected[6, 6], expected[6, 0] = 1, 1, 2, 1
    np.testing.assert_array_equal(matrix, expected)


def test_precision_recall_and_f1_of_a_known_matrix() -> None:
    matrix = np.zeros((7, 7), np.int64)
    matrix[0, 0], matrix[0, 3], matrix[3, 3], matrix[3, 0] = 6, 2, 10, 4
    angry = per_class(matrix)["angry"]
    assert (angry.precision, angry.recall, angry.n) == (0.6, 0.75, 8)
    assert angry.f1 == pytest.approx(2 * 0.6 * 0.75 / (0.6 + 0.75))
    assert list(per_class(matrix)) == list(EMOTIONS)


def test_macro_f1_counts_each_emotion_that_occurs_once() -> None:
    matrix = np.zeros((7, 7), np.int64)
    matrix[3, 3] = 98
    assert macro_f1(matrix) == 1, "emotions that occur nowhere do not count"
    matrix[1, 3] = 2
    assert macro_f1(matrix) == pytest.approx((2 * 98 / (98 + 100) + 0) / 2), "disgust is never found: F1 is 0"
    assert per_class(matrix)["disgust"].precision == 0, "nothing was taken for disgust"


def test_calibration_error_of_answers_that_are_too_sure() -> None:
    bins = reliability(answers([0, 0, 0, 0], 0.9), np.array([0, 0, 1, 1]))
    assert bins.error == pytest.approx(0.4)
    assert bins.count.tolist() == [0] * 13 + [4, 0]
    assert (bins.confidence[13], bins.accuracy[13]) == (pytest.approx(0.9), 0.5)


def test_calibration_error_weighs_bins_by_their_faces_and_never_cancels() -> None:
    probabilities = np.concatenate((answers([0] * 3, 0.95), answers([0], 0.45)))
    labels = np.array([0, 0, 1, 0])  # 2/3 right where 0.95 sure, all right where 0.45 sure
    assert reliability(probabilities, labels).error == pytest.approx((3 * (0.95 - 2 / 3) + 0.55) / 4)


def test_perfect_calibration_has_no_error() -> None:
    assert reliability(answers([2] * 5, 0.8), np.array([2, 2, 2, 2, 0])).error == pytest.approx(0)


@pytest.mark.parametrize(("confidence", "place"), [(1 / 7, 2), (0.2, 2), (0.2000001, 3), (1.0, BINS - 1)])
def test_a_bin_holds_its_upper_edge(confidence: float, place: int) -> None:
    assert reliability(answers([0], confidence), np.array([0])).count[place] == 1


def test_the_bootstrap_draws_faces_with_replacement() -> None:
    """One binomial number per resample stands for drawing every face; here both are done."""
    right = np.arange(400) < 260
    drawn = right[np.random.default_rng(5).integers(0, 400, (20_000, 400))].mean(axis=1)
    low, high = bootstrap_interval(260, 400, resamples=20_000)
    np.testing.assert_allclose((low, high), np.quantile(drawn, (0.025, 0.975)), atol=0.004)
    assert bootstrap_interval(260, 400, resamples=20_000) == (low, high), "the same each time"


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    counts = np.random.default_rng(2).binomial(1000, 0.66, 400)
    intervals = [bootstrap_interval(int(count), 1000) for count in counts]
    assert 0.92 <= np.mean([low <= 0.66 <= high for low, high in intervals]) <= 0.98


@pytest.mark.parametrize(("right", "expected"), [(0, (0.0, 0.0)), (10, (1.0, 1.0))])
def test_the_interval_of_all_wrong_or_all_right(right: int, expected: tuple[float, float]) -> None:
    assert bootstrap_interval(right, 10) == expected


def test_an_evaluation_has_everything_in_the_promised_units() -> None:
    labels = np.arange(70) % 7
    guesses = np.where(np.arange(70) < 56, labels, (labels + 1) % 7)
    figures = evaluate(answers(guesses.tolist(), 0.7), labels)
    assert figures.accuracy == 80
    assert 60 < figures.ci95[0] < 80 < figures.ci95[1] < 95
    assert figures.macro_f1 == pytest.approx(0.8) and figures.ece == pytest.approx(0.1)
    assert figures.confusion.sum() == figures.n == 70
    assert {row.n for row in figures.per_class.values()} == {10}
    assert set(figures.as_dict()) == {"accuracy", "ci95", "macro_f1", "ece", "per_class", "confusion", "n"}
    assert figures.as_dict()["per_class"]["happy"] == {
        "precision": pytest.approx(0.8), "recall": pytest.approx(0.8), "f1": pytest.approx(0.8), "n": 10,
    }  # fmt: skip


def test_no_faces_are_refused() -> None:
    with pytest.raises(TrainingDataError, match="no face"):
        evaluate(np.zeros((0, 7)), np.zeros(0, np.int64))
