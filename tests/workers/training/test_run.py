"""A training run, from its row to a model, on both databases; no Celery."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine as Database
from sqlalchemy import select

from results.database import reading, writing
from results.jobs import cancel_job
from results.leases import claim
from results.tables import Evaluation, Model, Shard, TrainingEpoch
from tests.support.training_runs import BATCHES, After, in_second_epoch, plan_for, queued, status_of
from workers.errors import WorkersError
from workers.models.store import shipped
from workers.settings import Settings
from workers.training.checkpoints import forget_attempt, run_folder, take_over
from workers.training.run import train
from workers.training.submitting import settled


def test_a_run_becomes_a_model_with_an_evaluation(
    database: Database, faces: Path, store: Path, settings: Settings
) -> None:
    run, shard = queued(database, plan_for(faces))
    assert train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    assert (status.state, status.error, status.epoch, status.eta_seconds) == ("done", None, 2, 0.0)
    assert [row["epoch"] for row in status.history] == [1, 2]
    assert status.best_accuracy == max(row["validation_accuracy"] for row in status.history)
    with reading(database) as session:
        model = session.scalars(select(Model)).one()
        evaluation = session.scalars(select(Evaluation)).one()
        assert session.scalars(select(Shard.state)).one() == "done"
    assert status.model == model.id and (model.source, model.recipe, model.job_id) == ("trained", "mixup_cutmix", run)
    assert model.name == f"mixup_cutmix-{run[-4:]}" and model.facts["validation_accuracy"] == status.best_accuracy
    assert [path.name for path in store.glob("*.safetensors")] == [f"{model.sha256}.safetensors"]
    assert (evaluation.model_id, evaluation.job_id, evaluation.split, evaluation.n) == (model.id, run, "validation", 14)
    # Kept in half precision, which may turn one close decision.
    assert evaluation.accuracy / 100 == pytest.approx(status.best_accuracy, abs=1.5 / 14)
    assert not run_folder(store, run).exists(), "checkpoints go when the weights are in the store"
    assert not train(database, settings, shard, "again", "cpu"), "a finished run is not repeated"


def test_a_run_that_goes_elsewhere_ends_with_the_same_weights(
    database: Database, faces: Path, settings: Settings
) -> None:
    run, shard = queued(database, plan_for(faces))
    train(database, settings, shard, "w", "cpu")
    moved, moved_shard = queued(database, plan_for(faces))
    assert train(database, settings, moved_shard, "first", "cpu", in_second_epoch())
    between = status_of(database, moved)
    assert (between.state, between.epoch, between.model) == ("running", 1, None)
    with reading(database) as session:
        shard_row = session.get_one(Shard, moved_shard)
        assert (shard_row.state, shard_row.attempts, shard_row.queued_at) == ("pending", 0, None), "given back, untried"
    torch.manual_seed(99)  # another process draws other numbers
    train(database, settings, moved_shard, "second", "cpu")
    ended = status_of(database, moved)
    assert (ended.state, ended.worker) == ("done", "second")
    assert ended.model == status_of(database, run).model, "a model's id is the hash of its weights"
    assert [row["loss"] for row in ended.history] == [row["loss"] for row in status_of(database, run).history]


def test_a_row_that_the_dead_worker_could_not_write_is_written_later(
    database: Database, faces: Path, settings: Settings
) -> None:
    run, shard = queued(database, plan_for(faces))
    train(database, settings, shard, "first", "cpu", in_second_epoch())
    with writing(database) as session:
        session.delete(session.get_one(TrainingEpoch, (run, 1)))
    train(database, settings, shard, "second", "cpu")
    assert [row["epoch"] for row in status_of(database, run).history] == [1, 2]


def test_cancelling_stops_in_the_middle(
    database: Database, faces: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Path
) -> None:
    monkeypatch.setattr("workers.lease.heartbeat.HEARTBEAT_S", 0.01)
    run, shard = queued(database, plan_for(faces, epochs=50))

    def cancel() -> None:
        with writing(database) as session:
            cancel_job(session, run)

    seen = After(BATCHES + 2, cancel)
    train(database, settings, shard, "w", "cpu", seen)
    status = status_of(database, run)
    assert (status.state, status.epoch, status.model) == ("cancelled", 1, None)
    assert seen.calls <= BATCHES + 4
    assert not run_folder(store, run).exists()


def test_a_cancelled_attempt_leaves_the_folder_of_another_alone(database: Database, faces: Path, store: Path) -> None:
    run, shard = queued(database, plan_for(faces))
    with writing(database) as session:
        own = claim(session, shard, "w")
    assert own is not None
    take_over(store, own)
    other = take_over(store, replace(own, epoch=own.epoch + 1))
    forget_attempt(store, own)
    assert list(run_folder(store, run).iterdir()) == [other]


def test_a_worker_that_comes_late_leaves_its_successors_folder_alone(
    database: Database, faces: Path, store: Path
) -> None:
    _, shard = queued(database, plan_for(faces))
    claims = []
    for worker in ("first", "late", "successor"):
        with writing(database) as session:
            claims.append(claim(session, shard, worker, lease_s=-1))
    first, late, successor = (each for each in claims if each)
    (take_over(store, first) / "checkpoint.pt").write_text("first")
    ahead = take_over(store, successor)
    (ahead / "checkpoint.pt").unlink()
    (ahead / "checkpoint.pt").write_text("successor")
    assert not (take_over(store, late) / "checkpoint.pt").exists()
    assert (ahead / "checkpoint.pt").read_text() == "successor"


def test_best_weights_say_themselves_of_which_epoch_they_are(
    database: Database, faces: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fer_model.training.classifier.save_checkpoint", full)
    run, shard = queued(database, plan_for(faces))
    train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    assert (status.state, status.epoch, status.best_epoch) == ("failed", 0, None), "the row was never written"
    assert f"of epoch 1, are kept as model {status.model}" in str(status.error)
    with reading(database) as session:
        facts = session.scalars(select(Model)).one().facts
    assert facts["best_epoch"] == 1 and 0 <= facts["validation_accuracy"] <= 1


@pytest.mark.parametrize(
    ("kind", "init"), [("classifier", "shipped"), ("detector", "imagenet"), ("detector", "scratch")]
)
def test_a_start_of_the_other_kind_is_refused_when_ordered(
    database: Database, faces: Path, kind: str, init: str, store: Path
) -> None:
    with pytest.raises(WorkersError, match=rf"^A {kind} cannot start from `{init}`, but from .*\.$"):
        settled(database, store, replace(plan_for(faces, init=init), kind=kind))


def test_a_pupil_learns_from_its_teachers(database: Database, faces: Path, settings: Settings, store: Path) -> None:
    teacher = shipped(store).members[0]
    plan = settled(database, store, plan_for(faces, epochs=1, teachers=[teacher.name]))
    assert plan.definition["teachers"] == [teacher.sha256], "a name may mean another model tomorrow"
    losses = []
    for each in (plan, plan_for(faces, epochs=1)):
        run, shard = queued(database, each)
        train(database, settings, shard, "w", "cpu")
        (epoch,) = status_of(database, run).history
        losses.append(epoch["loss"])
    assert losses[0] != losses[1]


def test_a_late_twin_writes_nothing_and_spoils_no_checkpoint(
    database: Database, faces: Path, settings: Settings, store: Path
) -> None:
    run, shard = queued(database, plan_for(faces))
    train(database, settings, shard, "dead", "cpu", in_second_epoch())
    folders: list[Path] = []

    def taken_over() -> None:
        with writing(database) as session:
            successor = claim(session, shard, "successor", lease_s=-1)
        assert successor is not None
        folders.append(take_over(store, successor))

    train(database, settings, shard, "twin", "cpu", After(2, taken_over))
    assert [row["epoch"] for row in status_of(database, run).history] == [1]
    with reading(database) as session:
        row = session.get_one(Shard, shard)
        assert (row.state, row.worker, row.epoch) == ("running", "successor", 3)
        assert not session.scalars(select(Model)).all()
    assert torch.load(folders[0] / "checkpoint.pt", weights_only=True)["last"]["epoch"] == 1
