"""The outcome policy, sentence by sentence."""

import pytest

from fer_model.errors import TransientMediaError, UnreadableMediaError, WeightsError
from results.errors import (
    DatabaseBusyError,
    DatabaseOutdatedError,
    DatabaseReadOnlyError,
    DatabaseUnreachableError,
    JobCancelledError,
    NameTakenError,
    ShardLostError,
    UnknownModelError,
)
from workers.errors import CropsRefusedError, WorkersError, WorkerStoppingError
from workers.lease.policy import TOO_LONG, Verdict, is_permanent, judge, reason_of


class SoftTimeLimitExceeded(Exception):
    """Named as Celery's."""


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (JobCancelledError(), Verdict.CANCELLED),
        (ShardLostError(), Verdict.LOST),
        (WorkerStoppingError(), Verdict.REQUEUE),
        (DatabaseUnreachableError(), Verdict.REQUEUE),
        (DatabaseBusyError(), Verdict.REQUEUE),
        (UnreadableMediaError("text.mp4: is not a video"), Verdict.FAIL),
        (WeightsError("the weights are not there"), Verdict.FAIL),
        (NameTakenError(), Verdict.FAIL),
        (CropsRefusedError("pictures of faces cannot be written there"), Verdict.FAIL),
        (UnknownModelError(), Verdict.FAIL),
        (TransientMediaError("film.mp4: the server does not answer"), Verdict.RETRY),
        (OSError("the file system went away"), Verdict.RETRY),
        (MemoryError(), Verdict.RETRY),
        (SoftTimeLimitExceeded(), Verdict.RETRY),
        (WorkersError("the cache folder cannot be written to"), Verdict.RETRY),
        (DatabaseReadOnlyError(), Verdict.RAISE),
        (DatabaseOutdatedError(), Verdict.RAISE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_each_error_has_its_verdict(error: Exception, verdict: Verdict) -> None:
    assert judge(error, is_permanent) is verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (JobCancelledError(), Verdict.CANCELLED),
        (ShardLostError(), Verdict.LOST),
        (WorkerStoppingError(), Verdict.REQUEUE),
        (DatabaseUnreachableError(), Verdict.REQUEUE),
        (DatabaseReadOnlyError(), Verdict.RAISE),
        (OSError(), Verdict.FAIL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_the_caller_decides_about_errors_of_the_work_alone(error: Exception, verdict: Verdict) -> None:
    assert judge(error, lambda error: True) is verdict


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WeightsError("the weights are not there"), "the weights are not there"),
        (WorkersError("the cache folder cannot be written to"), "the cache folder cannot be written to"),
        (UnknownModelError("There is no model 'x'"), "There is no model 'x'"),
        (SoftTimeLimitExceeded(), TOO_LONG),
        (MemoryError(), "there was not enough memory"),
        (OSError("the file system went away"), "OSError: the file system went away"),
    ],
)
def test_reasons_are_sentences_and_other_errors_are_named(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
