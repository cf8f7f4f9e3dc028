"""Training runs of a detector."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database

from fer_model.errors import TrainingError
from fer_model.networks.loading import load_detector, save_weights
from fer_model.training.datasets.face_sets import FaceSets
from fer_model.training.definitions import BEST, DetectorRun, Epoch
from results.training import (
    TrainingPlan,
)
from tests.support.training_data import write_photographs
from tests.support.training_runs import After, queued, status_of
from workers.models.inventory import details
from workers.settings import Settings
from workers.training.checkpoints import run_folder
from workers.training.run import train


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
