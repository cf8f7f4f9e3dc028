"""The state of a worker process."""

import os
from dataclasses import replace
from pathlib import Path

from fer_model.networks.manifest import ModelSet
from tests.support.watching import output_of
from workers.process import WorkerProcess, worker_name
from workers.queue.app import make_app
from workers.settings import Settings


def process(**options: object) -> WorkerProcess:
    return WorkerProcess(make_app(Settings(**options)))  # type: ignore[arg-type]


def test_a_training_stops_at_once_and_a_shard_after_the_grace_period() -> None:
    patient, hasty = process(grace_seconds=3600), process(grace_seconds=0)
    assert not (patient.is_stopping() or patient.is_grace_over() or hasty.is_grace_over())
    patient.stop()
    hasty.stop()
    assert (patient.is_stopping(), patient.is_grace_over()) == (True, False)
    assert (hasty.is_stopping(), hasty.is_grace_over()) == (True, True)


def test_ensembles_of_the_same_files_share_their_networks(models: ModelSet, cache: Path) -> None:
    worker = process(device="cpu", cache_dir=cache)
    engine = worker.engine(models)
    assert worker.engine(replace(models, shares=(0.25, 0.75), temperature=2.0)) is engine


def test_a_device_that_is_named_is_used() -> None:
    assert process(device="cuda:7").device == "cuda:7"


def test_a_process_is_named_by_host_and_pid() -> None:
    assert worker_name() == f"{os.uname().nodename}:{os.getpid()}"


def test_a_signal_of_the_main_process_stops_a_process_of_the_pool() -> None:
    program = """
import os, signal
from workers import process
from workers.queue.app import make_app
from workers.settings import Settings
make_app(Settings()).set_current()
process.listen()
before = process.this_process().is_stopping()
os.kill(os.getpid(), signal.SIGUSR2)
print(before, process.this_process().is_stopping())
"""
    assert output_of(program) == "False True"
