"""One training run, from its row to a model in the catalogue. Imports no Celery: a test can call it."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.engines import actual_device
from fer_model.errors import WeightsError
from fer_model.networks.architectures import read_metadata
from fer_model.networks.manifest import WeightsFile
from fer_model.training.definitions import BEST, Epoch, trained_facts
from results import catalogue, leases, shards, training
from results.closing import close_job
from results.leases import Claim
from results.tables import Job, Model, TrainingRun
from workers.lease import heartbeat
from workers.lease.holding import Lease, lease
from workers.metrics import recording
from workers.models import store
from workers.models.evaluating import evaluation_row
from workers.settings import Settings
from workers.training.checkpoints import forget, forget_attempt, run_folder, take_over
from workers.training.trainers import Trained, Watch, run_trainer

LICENCE = "AGPL-3.0; the licence of the training data may limit the use of the weights"


def train(
    database: Database,
    settings: Settings,
    shard_id: int,
    worker: str,
    device: str,
    stopping: Callable[[], bool] = lambda: False,
) -> bool:
    """Claims a run, trains to its end, and keeps the result; True if this worker got the run.

    `device` is the device of a run that names none: auto, cpu or cuda:N. `lease.policy` decides on errors, except that
    all errors of the training itself are permanent: the run fails with the reason, and the best weights so far are
    kept. A requeued run resumes after its last finished epoch.

    Raises:
        ResultsError: the database cannot be used; the run will be claimed again.
    """
    with lease(
        database,
        shard_id,
        worker,
        _run_of,
        lease_s=settings.lease_seconds,
        heartbeat_s=heartbeat.HEARTBEAT_S,
        kind="train",
        stopping=stopping,
        # A retry would repeat hours of training. The user decides what to change, and has the best weights so far.
        is_permanent=lambda error: True,
        fail=partial(_fail, settings.models_dir),
    ) as held:
        if held is not None:
            _keep(held, settings.models_dir, _train(held, settings, device))
    if held is None:
        return False
    if held.outcome == "cancelled":
        forget_attempt(settings.models_dir, held.claim)
    return True


def _run_of(session: Session, claim: Claim) -> TrainingRun:
    return session.get_one(TrainingRun, claim.job_id)


def _train(held: Lease[TrainingRun], settings: Settings, device: str) -> Trained:
    run = held.begun

    def on_epoch(epoch: Epoch) -> None:
        held.commit(lambda session, claim: training.record_epoch(session, claim, asdict(epoch)))
        recording.gpu_memory()

    chosen = actual_device(run.definition["device"] or device)
    folder = take_over(settings.models_dir, held.claim)
    return run_trainer(held.database, settings, run, folder, chosen, Watch(on_epoch, held.check))


def _keep(held: Lease[TrainingRun], models_dir: Path, trained: Trained) -> None:
    """Copies the weights into the store; then writes the model, its evaluation and the run's end in one transaction."""
    run, sha256 = held.begun, store.keep(models_dir, trained.weights)

    def write(session: Session, claim: Claim) -> None:
        # First: it checks the fencing token.
        shards.complete(session, claim, [], [])
        model = _add_model(session, models_dir, run, sha256, trained.facts)
        if trained.report:
            measured = evaluation_row(model, trained.report, run.data, "validation")
            measured.job_id = run.job_id
            catalogue.add_evaluation(session, measured)
        close_job(session, run.job_id)

    held.commit(write)
    forget(models_dir, run.job_id)


def _fail(models_dir: Path, held: Lease[TrainingRun], reason: str) -> None:
    run = held.begun
    best = run_folder(models_dir, run.job_id) / str(held.claim.epoch) / BEST
    sha256, rescued = _rescue(models_dir, best)

    def write(session: Session, claim: Claim) -> None:
        leases.fail(session, claim, reason + rescued)
        if sha256:
            _add_model(session, models_dir, run, sha256, {"incomplete": reason})
        close_job(session, run.job_id)

    held.commit(write)


def _rescue(models_dir: Path, best: Path) -> tuple[str | None, str]:
    """The sha256 of the best weights so far, now in the store, and a clause about them for the message."""
    if not best.exists():
        return None, ""
    try:
        facts = trained_facts(read_metadata(best))
    except WeightsError:
        return None, ""
    clause = f"; the best weights so far, of epoch {facts['best_epoch']}, are"
    try:
        sha256 = store.keep(models_dir, best)
    except OSError:
        # On a full disk they stay where they are.
        return None, f"{clause} in {best}"
    return sha256, f"{clause} kept as model {sha256[: catalogue.ID_DIGITS]}"


def _add_model(session: Session, models_dir: Path, run: TrainingRun, sha256: str, facts: dict[str, object]) -> Model:
    given, usual = session.get_one(Job, run.job_id).name, run.recipe or run.kind
    name = given if given and given != usual else f"{usual}-{run.job_id[-4:]}"
    weights = store.stored(models_dir, sha256)
    model = catalogue.add_model(
        session,
        name=name,
        kind=run.kind,
        sha256=sha256,
        architecture=store.architecture(WeightsFile(name, weights, sha256), run.kind),
        source="trained",
        recipe=run.recipe,
        job_id=run.job_id,
        licence=LICENCE,
        # The facts of the weights themselves: the run's row may be of another epoch.
        facts={"data": run.data, **trained_facts(read_metadata(weights)), **facts},
    )
    training.keep_model(session, run.job_id, model.id)
    return model
