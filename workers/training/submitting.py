"""Queues training runs, or begins or resumes one in the foreground."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from celery import Celery
from sqlalchemy import Engine as Database

from results.database import writing
from results.jobs import shard_of
from results.training import TrainingPlan, add_training, unfinished_run
from workers.errors import WorkersError
from workers.models.subjects import MARK, find_weights
from workers.queue.broker import BROKER_ERRORS, check_broker
from workers.queue.dispatching import LOCAL_QUEUE, advance
from workers.training.trainers import IMAGENET, SCRATCH, SHIPPED

logger = logging.getLogger(__name__)

WORDS = {"classifier": (SCRATCH, IMAGENET), "detector": (SHIPPED,)}
"""Where each kind of run can start, besides files and models."""


def submit_training(app: Celery, database: Database, plans: Sequence[TrainingPlan]) -> list[str]:
    """Writes runs in one transaction and queues them; returns their ids.

    Raises:
        BrokerUnreachableError: the broker does not answer; no run is made.
        ResultsError: the database cannot be used.
    """
    check_broker(app)
    with writing(database) as session:
        runs = [add_training(session, plan) for plan in plans]
    try:
        for run in runs:
            advance(app, database, run)
    except BROKER_ERRORS as error:
        # The runs are written, and the workers' sweep sends the missing messages.
        logger.warning("the broker went away while runs were queued: %s", error)
    return runs


def local_training(database: Database, plan: TrainingPlan) -> tuple[str, int, bool]:
    """A run for this process: its id, its shard, and whether it resumes an interrupted one."""
    with writing(database) as session:
        earlier = unfinished_run(session, plan, LOCAL_QUEUE)
        run = earlier or add_training(session, plan, LOCAL_QUEUE)
        return run, shard_of(session, run), earlier is not None


def settled(database: Database, models_dir: Path, plan: TrainingPlan) -> TrainingPlan:
    """The plan with initial weights and teachers that every worker resolves alike: a word, a full path or a sha256.

    Raises:
        WorkersError: the word is not one of `WORDS` for this kind of run.
        WeightsError: the file cannot be read.
        UnknownModelError: the reference is neither a file nor a model.
    """
    teachers = [_settled(database, models_dir, each, "classifier") for each in plan.definition.get("teachers", ())]
    taught = {"teachers": teachers} if teachers else {}
    return replace(plan, definition={**plan.definition, "init": _settled_init(database, models_dir, plan), **taught})


def _settled_init(database: Database, models_dir: Path, plan: TrainingPlan) -> str:
    init, words = plan.definition["init"], WORDS[plan.kind]
    if init in words:
        return init
    if any(init in others for others in WORDS.values()):
        starts = ", ".join(f"`{word}`" for word in words)
        raise WorkersError(
            f"A {plan.kind} cannot start from `{init}`, but from {starts}, a .safetensors file or a model."
        )
    return _settled(database, models_dir, init, plan.kind)


def _settled(database: Database, models_dir: Path, reference: str, kind: str) -> str:
    is_file = reference.endswith(MARK)
    found = find_weights(database, models_dir, str(Path(reference).absolute()) if is_file else reference, kind)
    return str(found.path) if is_file else found.sha256


def existing_path(path: Path) -> str:
    """The absolute path of training data. Raises `WorkersError` if it does not exist."""
    if not path.exists():
        raise WorkersError(f"{path}: there is no such file or folder.")
    return str(path.absolute())
