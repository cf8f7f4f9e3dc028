"""Small training runs: their plans, their rows, and what happens before their batches."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database

from fer_model.training.definitions import ClassifierRun
from results.database import reading, writing
from results.jobs import shard_of
from results.training import (
    TrainingPlan,
    TrainingStatus,
    add_training,
    training_status,
)

BATCHES = 3
"""In one epoch: 32 pictures in two, and one to validate."""


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
