"""A training run, from its row to a model, on both databases; no Celery."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.errors import TrainingError
from fer_model.networks.loading import load_detector, save_weights
from fer_model.training.datasets.face_sets import FaceSets
from fer_model.training.definitions import BEST, ClassifierRun, DetectorRun, Epoch
from results import leases, shards
from results.database import reading, writing
from results.errors import DatabaseUnreachableError
from results.jobs import cancel_job
from results.leases import claim
from results.read.status import job_status
from results.tables import Evaluation, Model, Shard, TrainingEpoch
from results.training import (
    TrainingPlan,
    TrainingStatus,
    add_training,
    record_epoch,
    shard_of,
    training_status,
)
from tests.support.outages import always_away, away_once
from tests.support.tiny import write_tiny_faces
from tests.support.training_data import write_photographs
from workers.errors import WorkersError
from workers.models.inventory import details
from workers.models.store import shipped
from workers.settings import Settings
from workers.training.checkpoints import forget_attempt, run_folder, take_over
from workers.training.run import train
from workers.training.submitting import settled

BATCHES = 5
"""In one epoch: 64 pictures in four, and one to validate."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of models of its own."""
    return tmp_path / "models"


@pytest.fixture
def settings(store: Path) -> Settings:
    """The settings of the workers here."""
    return Settings(models_dir=store)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 faces to train on, 21 to validate on."""
    return write_tiny_faces(tmp_path_factory.mktemp("faces") / "fer2013.csv")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Other tests keep their threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def plan_for(faces: Path, epochs: int = 2, **changed: Any) -> TrainingPlan:
    """A small run of a recipe that draws random numbers."""
    known = {**asdict(ClassifierRun("", batch=16)), "device": "cpu", "init": "scratch", "threads": 1, "resize": False}
    definition = {name: value for name, value in {**known, **changed}.items() if name not in ("recipe", "epochs")}
    return TrainingPlan("classifier", str(faces), epochs, definition, recipe="mixup_cutmix")


def queued(database: Database, plan: TrainingPlan) -> tuple[str, int]:
    """A run's id and its shard."""
    with writing(database) as session:
        run = add_training(session, plan)
        return run, shard_of(session, run)


def status_of(database: Database, run: str) -> TrainingStatus:
    with reading(database) as session:
        return training_status(session, run)


class After:
    """Called before every batch in place of `stopping`; acts once, after a number of batches."""

    def __init__(self, batches: int, action: Callable[[], object]) -> None:
        self.batches, self.action, self.calls = batches, action, 0

    def __call__(self) -> bool:
        self.calls += 1
        return self.calls == self.batches and bool(self.action())


def in_second_epoch() -> After:
    """Stops in the middle of the second epoch."""
    return After(BATCHES + 2, lambda: True)


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
    assert (evaluation.model_id, evaluation.job_id, evaluation.split, evaluation.n) == (model.id, run, "validation", 21)
    # Kept in half precision, which may turn one close decision.
    assert evaluation.accuracy / 100 == pytest.approx(status.best_accuracy, abs=1.5 / 21)
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


class Outage:
    """Wraps `record_epoch`; fails a number of times first, like a database that restarts."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self, *row: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise DatabaseUnreachableError
        record_epoch(*row)


def test_a_database_that_is_away_for_a_moment_ends_nothing(
    database: Database, faces: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr("workers.training.run.training.record_epoch", Outage(3))
    run, shard = queued(database, plan_for(faces))
    assert train(database, settings, shard, "w", "cpu")
    assert (status_of(database, run).state, status_of(database, run).epoch) == ("done", 2)


def test_a_database_that_stays_away_ends_the_attempt(
    database: Database, faces: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr("workers.training.run.training.record_epoch", always_away)
    run, shard = queued(database, plan_for(faces))
    assert train(database, settings.model_copy(update={"lease_seconds": 2.0}), shard, "w", "cpu")
    assert status_of(database, run).state == "running", "another worker goes on"
    with reading(database) as session:
        row = session.get_one(Shard, shard)
    assert (row.state, row.attempts, row.queued_at) == ("pending", 0, None), "at once, and the attempt is not counted"


@pytest.mark.parametrize(
    ("module", "name", "changes", "state"),
    [
        (leases, "claim", {}, "done"),
        (shards, "complete", {}, "done"),
        (leases, "fail", {"learning_rate": 1e30}, "failed"),
    ],
)
def test_each_step_of_a_run_waits_for_a_database_that_is_away(
    database: Database,
    faces: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    module: ModuleType,
    name: str,
    changes: dict[str, Any],
    state: str,
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr(module, name, away_once(getattr(module, name)))
    run, shard = queued(database, plan_for(faces, epochs=1, **changes))
    assert train(database, settings, shard, "w", "cpu")
    assert status_of(database, run).state == state


def test_a_run_that_is_given_back_waits_for_a_database_that_is_away(
    database: Database, faces: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr(leases, "requeue", away_once(leases.requeue))
    _, shard = queued(database, plan_for(faces))
    assert train(database, settings, shard, "w", "cpu", lambda: True)
    with reading(database) as session:
        row = session.get_one(Shard, shard)
    assert (row.state, row.attempts, row.queued_at) == ("pending", 0, None)


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


def test_a_loss_that_is_no_number_fails_the_run_and_keeps_the_best(
    database: Database, faces: Path, store: Path, settings: Settings
) -> None:
    run, shard = queued(database, plan_for(faces))
    train(database, settings, shard, "w", "cpu", in_second_epoch())
    (checkpoint,) = run_folder(store, run).glob("*/checkpoint.pt")
    saved = torch.load(checkpoint, weights_only=True)
    saved["network"]["classifier.1.weight"].fill_(float("nan"))
    torch.save(saved, checkpoint)
    train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    assert status.state == "failed" and status.model
    assert str(status.error).startswith("the loss is no longer a number in epoch 2; lower the learning rate; the best ")
    assert str(status.error).endswith(f"of epoch 1, are kept as model {status.model}")
    assert len(list(store.glob("*.safetensors"))) == 1
    with reading(database) as session:
        assert job_status(session, run).errors == [{"uri": str(faces), "error": status.error, "state": "failed"}]


def test_too_high_a_learning_rate_fails_the_run_with_the_reason(
    database: Database, faces: Path, settings: Settings
) -> None:
    run, shard = queued(database, plan_for(faces, learning_rate=1e30))
    train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    assert (status.state, status.model) == ("failed", None)
    assert status.error == "the loss is no longer a number in epoch 1; lower the learning rate"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar file of one photograph to train the detector on, and one to validate on."""
    return write_photographs(tmp_path_factory.mktemp("photographs"), "train", "val")


def detector_plan(photographs: Path) -> TrainingPlan:
    known = {**asdict(DetectorRun()), "device": "cpu", "init": "shipped", "threads": 1, "validation": None}
    definition = {name: value for name, value in known.items() if name != "epochs"} | {"data": [str(photographs)]}
    return TrainingPlan("detector", str(photographs), 1, definition)


class DetectorTrainer:
    """Stands in for Ultralytics', which changes global state; ends as its test sets it, after an epoch's weights."""

    def __init__(self, ending: Exception | None = None) -> None:
        self.ending = ending
        self.saw: list[Path] = []

    def __call__(
        self,
        run: DetectorRun,
        init: Path,
        sets: FaceSets,
        folder: Path,
        on_epoch: Callable[[Epoch], None],
        before_batch: Callable[[], None],
    ) -> Path:
        self.saw = [path.resolve() for path in sets.validation if path.is_file()]
        save_weights(load_detector(init), folder / BEST, {"best_epoch": "1"})
        on_epoch(Epoch(1, 1.5, None, 0.987, 1e-4, 1.0, None))
        if self.ending:
            raise self.ending
        return folder / BEST


def test_a_detectors_facts_are_those_of_the_weights_that_were_kept(
    database: Database, photographs: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Path
) -> None:
    monkeypatch.setattr("fer_model.training.detector.train_detector", trainer := DetectorTrainer())
    run, shard = queued(database, detector_plan(photographs))
    assert train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    assert (status.state, status.error, status.best_accuracy) == ("done", None, 0.987)
    found = details(database, store, str(status.model))
    heights = {f"ap50_from_{height}_px" for height in (10, 16, 32)}
    assert found["facts"].keys() == {"data", "best_epoch"} | heights
    assert all(0 <= found["facts"][name] <= 1 for name in heights)
    assert 0.987 not in found["facts"].values() and found["best_in_training"] is None
    assert trainer.saw and not run_folder(store, run).exists()


def test_a_detector_that_fails_keeps_its_best_weights_and_no_photographs(
    database: Database, photographs: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Path
) -> None:
    trainer = DetectorTrainer(TrainingError("the disk is full"))
    monkeypatch.setattr("fer_model.training.detector.train_detector", trainer)
    run, shard = queued(database, detector_plan(photographs))
    train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    kept = f"the disk is full; the best weights so far, of epoch 1, are kept as model {status.model}"
    assert (status.state, status.error) == ("failed", kept)
    facts = details(database, store, str(status.model))["facts"]
    assert facts == {"data": str(photographs), "best_epoch": 1, "incomplete": "the disk is full"}
    assert trainer.saw and not any(path.exists() for path in trainer.saw)
    assert [path.name for path in run_folder(store, run).rglob("*") if path.is_file()] == [BEST]


def test_unpacking_stops_when_the_worker_is_to_stop(
    database: Database, photographs: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Path
) -> None:
    monkeypatch.setattr("fer_model.training.detector.train_detector", trainer := DetectorTrainer())
    run, shard = queued(database, detector_plan(photographs))
    train(database, settings, shard, "w", "cpu", After(2, lambda: True))
    assert status_of(database, run).state == "running" and not trainer.saw
    assert not [path for path in run_folder(store, run).rglob("*") if path.is_file()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system with room for one checkpoint and not for two."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a file system, and not everywhere")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_fails_the_run_with_the_reason_and_keeps_the_best(
    database: Database, faces: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(models_dir=small_disk)
    run, shard = queued(database, plan_for(faces, epochs=4))
    train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    assert status.state == "failed" and "the disk is full" in str(status.error), status.error
    assert status.epoch == 1 and status.model and f"kept as model {status.model}" in str(status.error)
    assert len(list(small_disk.glob("*.safetensors"))) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "/nowhere/fer2013.csv"}, "/nowhere/fer2013.csv"),
        ({"init": "0123456789ab"}, "There is no model '0123456789ab'"),
        ({"device": "cuda:77"}, "cuda:77 is not available: this machine has"),
    ],
)
def test_what_cannot_be_had_fails_the_run_with_the_reason(
    database: Database, faces: Path, changes: dict[str, Any], words: str, settings: Settings
) -> None:
    plan = plan_for(faces, **{name: value for name, value in changes.items() if name != "data"})
    run, shard = queued(database, replace(plan, data=changes.get("data", plan.data)))
    train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    assert status.state == "failed" and words in str(status.error), status.error


def test_a_store_that_cannot_be_written_fails_the_run_with_the_reason(
    database: Database, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    settings = Settings(models_dir=tmp_path / "file")
    run, shard = queued(database, plan_for(faces))
    train(database, settings, shard, "w", "cpu")
    assert "no checkpoint can be kept there" in str(status_of(database, run).error)
