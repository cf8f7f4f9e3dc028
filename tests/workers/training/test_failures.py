"""Training runs that fail: the reason is named, and the best weights are kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import Engine as Database

from results.database import reading
from results.read.status import job_status
from tests.support.disks import small_disk
from tests.support.training_runs import in_second_epoch, plan_for, queued, status_of
from workers.settings import Settings
from workers.training.checkpoints import run_folder
from workers.training.run import train


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


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one checkpoint and not for two."""
    with small_disk(tmp_path / "small", "80m") as folder:
        yield folder


def test_a_full_disk_fails_the_run_with_the_reason_and_keeps_the_best(
    database: Database, faces: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(models_dir=small)
    run, shard = queued(database, plan_for(faces, epochs=4))
    train(database, settings, shard, "w", "cpu")
    status = status_of(database, run)
    assert status.state == "failed" and "the disk is full" in str(status.error), status.error
    assert status.epoch == 1 and status.model and f"kept as model {status.model}" in str(status.error)
    assert len(list(small.glob("*.safetensors"))) == 1


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
