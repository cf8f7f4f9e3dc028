"""Training runs in the database, on both databases."""

from typing import Any

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, update

from results.backlog import jobs_to_sweep
from results.closing import close_job
from results.database import reading, writing
from results.errors import JobCancelledError, ShardLostError
from results.jobs import cancel_job, delete_job, retry_job, shard_of
from results.leases import MAX_ATTEMPTS, Claim, claim, fail, requeue
from results.read.status import job_status
from results.shards import complete
from results.tables import Job, Shard, TrainingEpoch, TrainingRun
from results.training import (
    TrainingPlan,
    add_training,
    list_runs,
    record_epoch,
    training_status,
    unfinished_run,
)
from tests.support.rows import pending_to_queue, take

PLAN = TrainingPlan("classifier", "/data/fer2013.csv", 10, {"seed": 1, "init": "scratch"}, recipe="crp")


def row(epoch: int, accuracy: float = 0.5, seconds: float = 2.0) -> dict[str, Any]:
    """A row of `training_epochs`, as a trainer makes it."""
    figures = {"loss": 1.5, "train_accuracy": 0.4, "validation_accuracy": accuracy, "learning_rate": 1e-3}
    return {"epoch": epoch, "seconds": seconds, "loading_seconds": 0.1, **figures}


@pytest.fixture
def run(database: Database) -> str:
    """A queued run."""
    with writing(database) as session:
        return add_training(session, PLAN)


def claimed(database: Database, run: str, worker: str = "w1") -> Claim:
    with writing(database) as session:
        return take(session, shard_of(session, run), worker)


def test_a_run_is_a_job_with_one_shard_for_the_training_queue(database: Database, run: str) -> None:
    with reading(database) as session:
        job = session.get_one(Job, run)
        assert (job.kind, job.state, job.queue, job.name) == ("train", "queued", "train", "crp")
        assert session.get_one(TrainingRun, run).definition == {"seed": 1, "init": "scratch"}
        assert jobs_to_sweep(session, ["train"]) == [run] and not jobs_to_sweep(session, ["batch"])
    with writing(database) as session:
        assert pending_to_queue(session, run) == [shard_of(session, run)]
        assert not close_job(session, run), "it has not been worked on"


def test_epochs_are_written_once_and_the_best_is_known(database: Database, run: str) -> None:
    own = claimed(database, run)
    for each in (row(1, 0.5), row(2, 0.7), row(3, 0.7), row(4, 0.6)):
        with writing(database) as session:
            record_epoch(session, own, each)
    with writing(database) as session:
        record_epoch(session, own, row(4, 0.65))
    with reading(database) as session:
        status = training_status(session, run)
    assert [each["epoch"] for each in status.history] == [1, 2, 3, 4]
    assert status.history[-1] == row(4, 0.65)
    assert (status.best_epoch, status.best_accuracy, status.worker) == (2, 0.7, "w1")
    assert (status.state, status.epoch, status.epochs, status.eta_seconds) == ("running", 4, 10, 12.0)


def test_an_attempt_that_restarts_replaces_the_epochs_of_a_lost_one(database: Database, run: str) -> None:
    own = claimed(database, run)
    for number in (1, 2, 3):
        with writing(database) as session:
            record_epoch(session, own, row(number, number / 10))
    with writing(database) as session:
        record_epoch(session, own, row(1, 0.2))
    with reading(database) as session:
        status = training_status(session, run)
    assert [each["epoch"] for each in status.history] == [1] and (status.best_epoch, status.best_accuracy) == (1, 0.2)


def test_progress_makes_attempts_count_anew(database: Database, run: str) -> None:
    for number in range(1, 2 * MAX_ATTEMPTS):
        with writing(database) as session:
            own = claim(session, shard_of(session, run), "w", lease_s=-1)
            assert own is not None
        with writing(database) as session:
            record_epoch(session, own, row(number))
    for _ in range(MAX_ATTEMPTS - 1):
        with writing(database) as session:
            assert claim(session, shard_of(session, run), "w", lease_s=-1) is not None
    with writing(database) as session:
        assert claim(session, shard_of(session, run), "w", lease_s=-1) is None
        assert close_job(session, run)
    with reading(database) as session:
        status = training_status(session, run)
        assert (status.state, status.error) == ("failed", "tried 3 times, without success: the worker process died")
        assert job_status(session, run).errors == [
            {"uri": "/data/fer2013.csv", "error": status.error, "state": "failed"}
        ]


def test_recording_an_epoch_again_is_no_progress(database: Database, run: str) -> None:
    for _ in range(MAX_ATTEMPTS):
        with writing(database) as session:
            own = claim(session, shard_of(session, run), "w", lease_s=-1)
        assert own is not None
        with writing(database) as session:
            record_epoch(session, own, row(1))
    with writing(database) as session:
        assert claim(session, shard_of(session, run), "w", lease_s=-1) is None, "the third death ends it"
        assert close_job(session, run) and training_status(session, run).state == "failed"


def test_a_late_twin_and_a_cancelled_run_write_no_epoch(database: Database, run: str) -> None:
    late = claimed(database, run)
    with writing(database) as session:
        assert claim(session, late.id, "w2", lease_s=-1) is not None
    with pytest.raises(ShardLostError), writing(database) as session:
        record_epoch(session, late, row(1))
    with writing(database) as session:
        cancel_job(session, run)
    with pytest.raises(JobCancelledError), writing(database) as session:
        record_epoch(session, late, row(1))
    with reading(database) as session:
        assert not session.scalars(select(TrainingEpoch)).all()
        assert training_status(session, run).state == "cancelled"


def test_a_run_ends_as_its_shard_does(database: Database, run: str) -> None:
    own = claimed(database, run)
    with writing(database) as session:
        complete(session, own, [], [])
        assert close_job(session, run)
        assert training_status(session, run).state == "done"
    with writing(database) as session:
        failed = add_training(session, PLAN)
    other = claimed(database, failed)
    with writing(database) as session:
        fail(session, other, "no room")
        assert close_job(session, failed)
        assert (training_status(session, failed).state, training_status(session, failed).error) == ("failed", "no room")


def test_a_run_that_is_requeued_or_retried_is_queued_again(database: Database, run: str) -> None:
    own = claimed(database, run)
    with writing(database) as session:
        requeue(session, own, counted=False)
        assert pending_to_queue(session, run) == [own.id], "at once, by any worker's sweep"
    with writing(database) as session:
        cancel_job(session, run)
        assert retry_job(session, run) == 1
        assert jobs_to_sweep(session) == [run]


def test_the_same_unfinished_run_is_found_again(database: Database) -> None:
    with writing(database) as session:
        local = add_training(session, PLAN, "local")
        add_training(session, PLAN, "train")
        assert unfinished_run(session, PLAN, "local") == local
        for other in (
            TrainingPlan("classifier", PLAN.data, 11, PLAN.definition, recipe="crp"),
            TrainingPlan("classifier", PLAN.data, 10, {**PLAN.definition, "seed": 2}, recipe="crp"),
            TrainingPlan("classifier", PLAN.data, 10, PLAN.definition, recipe="baseline"),
        ):
            assert unfinished_run(session, other, "local") is None
        cancel_job(session, local)
        assert unfinished_run(session, PLAN, "local") is None


def test_runs_are_listed_and_go_with_their_job(database: Database, run: str) -> None:
    with writing(database) as session:
        session.execute(update(Job).where(Job.id == run).values(name="first"))
        second = add_training(session, PLAN)
    own = claimed(database, second)
    with writing(database) as session:
        record_epoch(session, own, row(1))
    with reading(database) as session:
        assert list_runs(session, limit=1)[0].run == max(run, second)
        assert [each.run for each in list_runs(session)] == sorted((run, second), reverse=True)
    with writing(database) as session:
        assert delete_job(session, second) and delete_job(session, run)
        assert not session.scalars(select(TrainingRun)).all() and not session.scalars(select(Shard)).all()
        assert not session.scalars(select(TrainingEpoch)).all() and not list_runs(session)
