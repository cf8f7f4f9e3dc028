"""One training run, from its row to a model in the catalogue. Knows no Celery: a test can call it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.engines import actual_device
from fer_model.errors import FerModelError, WeightsError
from fer_model.networks.loading import read_metadata
from fer_model.networks.manifest import WeightsFile
from fer_model.training.definitions import BEST, Epoch, trained_facts
from results import catalogue, leases, shards, training
from results.closing import close_job
from results.database import reading, writing
from results.errors import JobCancelledError, ResultsError, ShardLostError, UnknownModelError
from results.tables import Job, Model, TrainingRun
from workers.errors import WorkersError, WorkerStoppingError
from workers.lease.heartbeat import heartbeat
from workers.lease.outages import attempts
from workers.lease.reasons import reason_of
from workers.metrics import recording
from workers.models import store
from workers.models.subjects import evaluation_row
from workers.settings import Settings
from workers.training.checkpoints import forget, forget_attempt, run_folder, take_over
from workers.training.trainers import Trained, Watch, run_trainer

logger = logging.getLogger(__name__)

OUR_WORDS = (WorkersError, UnknownModelError)
LICENCE = "AGPL-3.0; whoever gave the training data may limit what the weights are used for"


def train(
    database: Database,
    settings: Settings,
    shard_id: int,
    worker: str,
    device: str,
    stopping: Callable[[], bool] = lambda: False,
) -> bool:
    """Claims a run, trains to its end, and keeps the result; True if it was this worker's to train.

    `device` is what the run uses unless it names one: auto, cpu or cuda:N. Does nothing if the run has ended
    or is another worker's. What ends it too early is written down as the reason, and the best weights so
    far are kept. Where `stopping` says so the run is given back, and goes on elsewhere from its last epoch.

    Raises:
        ResultsError: the database cannot be used; the run will be taken up again.
    """
    with writing(database) as session:
        claim = leases.claim(session, shard_id, worker, lease_s=settings.lease_seconds)
    if claim is None:
        return False
    with _while_ours(settings.models_dir, claim):
        try:
            _keep(database, settings.models_dir, claim, _train(database, settings, claim, device, stopping))
        except WorkerStoppingError:
            logger.info("run %s goes back", claim.job_id)
            with writing(database) as session:
                leases.requeue(session, claim, counted=False)
        except Exception as error:
            if isinstance(error, ResultsError) and not isinstance(error, UnknownModelError):
                raise
            expected = isinstance(error, (*OUR_WORDS, FerModelError))
            # Where it is our own mistake the log has the traceback.
            logger.info("run %s failed: %s", claim.job_id, error, exc_info=not expected)
            _fail(
                database, settings.models_dir, claim, str(error) if isinstance(error, OUR_WORDS) else reason_of(error)
            )
    return True


@contextmanager
def _while_ours(models_dir: Path, claim: leases.Claim) -> Iterator[None]:
    """Ends quietly what is not wanted any more, or is another worker's."""
    try:
        yield
    except ShardLostError as error:
        logger.info("run %s given up: %s", claim.job_id, error)
    except JobCancelledError as error:
        logger.info("run %s given up: %s", claim.job_id, error)
        forget_attempt(models_dir, claim)


def _train(
    database: Database, settings: Settings, claim: leases.Claim, device: str, stopping: Callable[[], bool]
) -> Trained:
    run = _run_of(database, claim.job_id)
    with heartbeat(database, claim) as check:

        def before_batch() -> None:
            check()
            if stopping():
                raise WorkerStoppingError

        def on_epoch(epoch: Epoch) -> None:
            for attempt in attempts(check):
                with attempt, writing(database) as session:
                    training.record_epoch(session, claim, asdict(epoch))
            recording.gpu_memory()

        chosen = actual_device(run.definition["device"] or device)
        folder = take_over(settings.models_dir, claim)
        return run_trainer(database, settings, run, folder, chosen, Watch(on_epoch, before_batch))


def _keep(database: Database, models_dir: Path, claim: leases.Claim, trained: Trained) -> None:
    """The weights into the store; then the model, its evaluation, and the run's end in one transaction."""
    sha256 = store.keep(models_dir, trained.weights)
    run = _run_of(database, claim.job_id)
    with writing(database) as session:
        # First, as everywhere: only who still has the shard may write.
        shards.complete(session, claim, [], [])
        model = _add_model(session, models_dir, run, sha256, trained.facts)
        if trained.report:
            measured = evaluation_row(model, trained.report, run.data, "validation")
            measured.job_id = run.job_id
            catalogue.add_evaluation(session, measured)
        close_job(session, claim.job_id)
    forget(models_dir, claim.job_id)


def _fail(database: Database, models_dir: Path, claim: leases.Claim, reason: str) -> None:
    run = _run_of(database, claim.job_id)
    best = run_folder(models_dir, claim.job_id) / str(claim.epoch) / BEST
    sha256, rescued = _rescue(models_dir, best)
    with writing(database) as session:
        leases.fail(session, claim, reason + rescued)
        if sha256:
            _add_model(session, models_dir, run, sha256, {"incomplete": reason})
        close_job(session, claim.job_id)


def _rescue(models_dir: Path, best: Path) -> tuple[str | None, str]:
    """The sha256 of the best weights so far, now in the store, and what to say about them."""
    if not best.exists():
        return None, ""
    try:
        facts = trained_facts(read_metadata(best))
    except WeightsError:
        return None, ""
    said = f"; the best weights so far, of epoch {facts['best_epoch']}, are"
    try:
        sha256 = store.keep(models_dir, best)
    except OSError:
        # On a full disk they stay where they are.
        return None, f"{said} in {best}"
    return sha256, f"{said} kept as model {sha256[: catalogue.ID_DIGITS]}"


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
        # As the weights say themselves, for the run's row may be of another epoch.
        facts={"data": run.data, **trained_facts(read_metadata(weights)), **facts},
    )
    training.keep_model(session, run.job_id, model.id)
    return model


def _run_of(database: Database, job_id: str) -> TrainingRun:
    with reading(database) as session:
        run = training.training_run(session, job_id)
    if run is None:
        raise ShardLostError
    return run
