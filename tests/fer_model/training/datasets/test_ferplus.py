import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.ferplus import CLASSES, label_probabilities, read_votes
from fer_model.types import EMOTIONS
from tests.support.training_data import write_votes

ROWS = [("Training", range(10)), ("PublicTest", [9] * 10), ("Training", [10, *[0] * 9]), ("PrivateTest", [1] * 10)]


def test_votes_of_one_usage_are_read_in_their_order(tmp_path: Path) -> None:
    path = write_votes(tmp_path / "fer2013new.csv", ROWS)
    votes = read_votes(path, "Training")
    assert votes.tolist() == [list(range(10)), [10, *[0] * 9]]
    assert votes.dtype == np.int64
    assert read_votes(path, "Nothing").shape == (0, 10)


def test_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    names = (*reversed(CLASSES), "Usage")
    path.write_text(f"{','.join(names)}\n{','.join(map(str, range(10)))},Training\n", encoding="utf-8-sig")
    assert read_votes(path, "Training").tolist() == [list(range(9, -1, -1))]


@pytest.mark.parametrize("column", ["Usage", *CLASSES])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    path = write_votes(tmp_path / "votes.csv", ROWS)
    path.write_text(re.sub(rf"\b{column}\b", "other", path.read_text(), count=1))
    with pytest.raises(TrainingDataError) as caught:
        read_votes(path, "Training")
    assert str(caught.value).startswith(f"{path}: the column {column!r} is missing (found [")


@pytest.mark.parametrize("votes", [["x", *[1] * 9], [1.5, *[1] * 9], ["", *[1] * 9], [-1, *[1] * 9], [1] * 9])
def test_a_wrong_vote_is_named_with_its_row(tmp_path: Path, votes: list[object]) -> None:
    path = write_votes(tmp_path / "votes.csv", [*ROWS, ("Training", votes)])
    with pytest.raises(TrainingDataError) as caught:
        read_votes(path, "Training")
    assert str(caught.value) == f"{path}: row 6: the votes are not whole numbers from 0 on"
    assert len(read_votes(path, "PublicTest")) == 1, "where the row is not used it does not matter"


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    path = write_votes(tmp_path / "votes.csv", [("Training", [-1] * 10)])
    header, row = path.read_text().splitlines()
    path.write_text(f"{header}\n\n\n{row}\n")
    with pytest.raises(TrainingDataError, match=r"votes\.csv: row 4: the votes"):
        read_votes(path, "Training")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (Path.unlink, "No such file"),
        (lambda path: path.write_bytes(b"\xff\xfe\xff"), "codec can't decode"),
        (lambda path: path.write_text(path.read_text() + '"' + "x" * 200_000), "field larger than field limit"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, spoil: Callable[[Path], object], complaint: str) -> None:
    path = write_votes(tmp_path / "votes.csv", ROWS)
    spoil(path)
    with pytest.raises(TrainingDataError, match=rf"votes\.csv: cannot be read \(.*{complaint}"):
        read_votes(path, "Training")


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_every_row_is_a_distribution(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    votes = data.draw(st.lists(st.lists(st.integers(0, 10), min_size=10, max_size=10), min_size=count, max_size=count))
    labels = data.draw(st.lists(st.integers(0, len(EMOTIONS) - 1), min_size=count, max_size=count))
    probabilities = label_probabilities(np.array(votes), np.array(labels))
    assert probabilities.shape == (count, len(EMOTIONS))
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


def test_a_known_relation_is_recovered() -> None:
    """Labels drawn from probabilities that depend on the votes as the model assumes: those come out again."""
    random = np.random.default_rng(0)
    votes = random.multinomial(10, random.dirichlet(np.full(10, 0.3), 6000))
    features = np.concatenate((np.log(votes + 0.5), votes / 10, np.ones((6000, 1))), 1)
    logits = features @ random.normal(0, 0.4, (features.shape[1], len(EMOTIONS)))
    truth = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (truth.cumsum(1) > random.random((6000, 1))).argmax(1)
    found = label_probabilities(votes, labels)
    assert np.abs(found - truth).mean() < 0.02
    # The same in total as the labels: what a logistic regression with a constant always gives.
    np.testing.assert_allclose(found.mean(0), np.bincount(labels, minlength=7) / 6000, atol=1e-3)


def test_votes_that_tell_nothing_give_how_frequent_each_label_is() -> None:
    labels = np.arange(700) % 7 // 2
    found = label_probabilities(np.ones((700, 10), np.int64), labels)
    np.testing.assert_allclose(found, np.tile([2 / 7, 2 / 7, 2 / 7, 1 / 7, 0, 0, 0], (700, 1)), atol=0.01)


def test_the_same_votes_give_the_same_probabilities_again() -> None:
    random = np.random.default_rng(1)
    votes, labels = random.integers(0, 10, (50, 10)), random.integers(0, 7, 50)
    np.testing.assert_array_equal(label_probabilities(votes, labels), label_probabilities(votes, labels))


def test_the_real_votes_belong_to_the_real_rows(shared_data: Path) -> None:
    path = shared_data / "fer2013" / "fer2013new.csv"
    assert [len(read_votes(path, usage)) for usage in ("Training", "PublicTest")] == [28709, 3589]
    # Ten taggers each; some votes for rare answers were left out.
    totals = read_votes(path, "Training").sum(1)
    assert totals.max() == 10
    assert totals.mean() > 9
