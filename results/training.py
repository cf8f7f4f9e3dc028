"""Training runs: a job of kind `train` with one shard and no media, its epochs and its outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.orm import Session

from results.errors import UnknownJobError
from results.jobs import UNFINISHED, changed, create_job, utc_now
from results.leases import Claim, progress
from results.tables import Job, Shard, TrainingEpoch, TrainingRun

QUEUE = "train"
"""The default queue of runs: a queue of its own, because a run occupies its worker for hours."""

ETA_EPOCHS = 5


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What to train. `recipe` is None for a detector; `definition` is stored as JSON and read by the worker."""

    kind: str
    data: str
    epochs: int
    definition: Mapping[str, Any]
    recipe: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """A training run at one moment; `history` holds a row for each finished epoch.

    `eta_seconds` assumes all epochs, although patience may end a run early; None when unknown.
    """

    run: str
    kind: str
    name: str | None
    recipe: str | None
    data: str
    state: str
    error: str | None
    worker: str | None
    epoch: int
    epochs: int
    best_epoch: int | None
    best_accuracy: float | None
    model: str | None
    eta_seconds: float | None
    history: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """The fields as `train status --json` prints them."""
        return asdict(self)


def add_training(session: Session, plan: TrainingPlan, queue: str = QUEUE) -> str:
    """A new queued run; returns its id, which is the job's."""
    options = {"data": plan.data, "recipe": plan.recipe, "epochs": plan.epochs, **plan.definition}
    name = plan.name or plan.recipe or plan.kind
    job, _ = create_job(session, kind="train", name=name, options=options, queue=queue)
    run = TrainingRun(
        job_id=job.id,
        kind=plan.kind,
        recipe=plan.recipe,
        data=plan.data,
        definition=dict(plan.definition),
        epochs=plan.epochs,
    )
    # One shard without media: lease, fencing and cancelling are then those of all other work.
    session.add_all([run, Shard(job_id=job.id, first_position=0, last_position=0, planned_frames=0)])
    session.flush()
    return job.id


def unfinished_run(session: Session, plan: TrainingPlan, queue: str) -> str | None:
    """The newest unfinished run of a queue with exactly this plan; None if there is none."""
    statement = (
        select(TrainingRun)
        .join(Job, Job.id == TrainingRun.job_id)
        .where(Job.queue == queue, Job.state.in_(UNFINISHED), TrainingRun.kind == plan.kind)
        .order_by(Job.id.desc())
    )
    wanted = (plan.recipe, plan.data, plan.epochs, dict(plan.definition))
    runs = session.scalars(statement).all()
    return next((r.job_id for r in runs if (r.recipe, r.data, r.epochs, r.definition) == wanted), None)


def record_epoch(session: Session, claim: Claim, row: Mapping[str, Any]) -> None:
    """Writes one epoch's row, in place of that epoch's and later ones' rows from an earlier attempt.

    `row` is keyed as `training_epochs`, without `job_id` and `finished_at`. An epoch is progress
    (`leases.progress`): a run fails when its process dies three times within one epoch. An epoch that has
    its row already is not: each attempt records the last one of its checkpoint again.

    Raises:
        JobCancelledError, ShardLostError: as `leases.heartbeat`; nothing is written.
    """
    recorded = exists().where(TrainingEpoch.job_id == claim.job_id, TrainingEpoch.epoch == row["epoch"])
    progress(session, claim, repeated=recorded)
    now = utc_now(session)
    old = delete(TrainingEpoch).where(TrainingEpoch.job_id == claim.job_id, TrainingEpoch.epoch >= row["epoch"])
    changed(session, old)
    session.execute(insert(TrainingEpoch), [{**row, "job_id": claim.job_id, "finished_at": now}])
    best = _best(session, claim.job_id)
    known = {"best_epoch": best.epoch, "best_accuracy": best.validation_accuracy} if best else {}
    changed(session, update(TrainingRun).where(TrainingRun.job_id == claim.job_id).values(known))


def keep_model(session: Session, job_id: str, model_id: str) -> None:
    """Stores the id of the model that a run produced."""
    changed(session, update(TrainingRun).where(TrainingRun.job_id == job_id).values(model_id=model_id))


def list_runs(session: Session, *, limit: int | None = None) -> Sequence[TrainingStatus]:
    """The runs, newest first, at most `limit` of them."""
    ids = session.scalars(select(TrainingRun.job_id).order_by(TrainingRun.job_id.desc()).limit(limit)).all()
    return [training_status(session, job_id) for job_id in ids]


def training_status(session: Session, job_id: str) -> TrainingStatus:
    """The status of a run. Raises `UnknownJobError` if there is no such training run."""
    run, job = session.get(TrainingRun, job_id), session.get(Job, job_id)
    if run is None or job is None:
        raise UnknownJobError(f"There is no training run '{job_id}' any more.")
    worker = session.scalar(select(Shard.worker).where(Shard.job_id == job_id))
    history = _history(session, job_id)
    return TrainingStatus(
        run=job.id,
        kind=run.kind,
        name=job.name,
        recipe=run.recipe,
        data=run.data,
        state=job.state,
        error=job.error,
        worker=worker,
        epoch=history[-1]["epoch"] if history else 0,
        epochs=run.epochs,
        best_epoch=run.best_epoch,
        best_accuracy=run.best_accuracy,
        model=run.model_id,
        eta_seconds=_eta(job.state, run.epochs, history),
        history=history,
    )


def _history(session: Session, job_id: str) -> list[dict[str, Any]]:
    columns = [column for column in TrainingEpoch.__table__.c if column.name not in ("job_id", "finished_at")]
    rows = session.execute(select(*columns).where(TrainingEpoch.job_id == job_id).order_by(TrainingEpoch.epoch))
    return [dict(row._mapping) for row in rows]


def _best(session: Session, job_id: str) -> TrainingEpoch | None:
    better = (TrainingEpoch.validation_accuracy.desc(), TrainingEpoch.epoch)
    return session.scalar(select(TrainingEpoch).where(TrainingEpoch.job_id == job_id).order_by(*better).limit(1))


def _eta(state: str, epochs: int, history: list[dict[str, Any]]) -> float | None:
    if state not in UNFINISHED:
        return 0.0 if state == "done" else None
    if not history:
        return None
    last = history[-ETA_EPOCHS:]
    return round(sum(row["seconds"] for row in last) / len(last) * (epochs - history[-1]["epoch"]), 1)
