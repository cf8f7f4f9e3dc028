"""How far a job is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, case, column, func, select, table
from sqlalchemy.orm import Session

from results.tables import Job, Media, Shard

REPORTED_STATES = ("pending", "running", "done", "failed")
MAX_ERRORS = 1000
MADE_BY = ("ensemble", "role", "model_id", "model", "sha256", "share", "shards")
"""Columns of the view `job_models`."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job at one moment. `frames` and `faces` include what running shards have reported so far.

    `fps` is frames per second of wall time since the job started; `eta_seconds` is None when unknown.
    `models` are the job's rows of the view `job_models`: what made the results that are there.
    """

    job: str
    kind: str
    name: str | None
    state: str
    error: str | None
    media: int
    shards: dict[str, int]
    frames: int
    planned_frames: int
    faces: int
    fps: float
    eta_seconds: float | None
    errors: list[dict[str, str]]
    models: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """What `status --json` prints."""
        keys = ("job", "state", "media", "shards", "frames", "faces", "fps", "eta_seconds", "errors", "models")
        return {key: getattr(self, key) for key in keys}

    @property
    def ensembles(self) -> dict[str, int]:
        """How many shards' rows each ensemble made, by name."""
        return {row["ensemble"]: row["shards"] for row in self.models}


def job_status(session: Session, job_id: str) -> JobStatus:
    """The state of the job whose full id is `job_id`; lists at most `MAX_ERRORS` errors.

    Raises:
        sqlalchemy.exc.NoResultFound: there is no such job; `get_job` finds one by what a person typed.
    """
    job = session.scalars(select(Job).where(Job.id == job_id)).one()
    media = session.scalars(select(func.count()).where(Media.job_id == job_id)).one()
    work = _work(session, job_id)
    frames = sum(row.frames for row in work)
    fps = frames / seconds if (seconds := _seconds(job)) > 0 else 0.0
    return JobStatus(
        job=job.id,
        kind=job.kind,
        name=job.name,
        state=job.state,
        error=job.error,
        media=media,
        shards=dict.fromkeys(REPORTED_STATES, 0) | _counts(work),
        frames=frames,
        planned_frames=sum(row.planned_frames for row in work),
        faces=sum(row.faces for row in work),
        fps=round(fps, 3),
        eta_seconds=_eta(job, sum(row.remaining for row in work), fps),
        errors=_errors(session, job),
        models=_models(session, job_id),
    )


def _work(session: Session, job_id: str) -> Sequence[Row[Any]]:
    # A variable frame rate may give a shard more frames than were planned.
    remaining = case((Shard.frames < Shard.planned_frames, Shard.planned_frames - Shard.frames), else_=0)
    is_open = Shard.state.in_(("pending", "running"))
    columns = (
        Shard.state,
        func.count().label("shards"),
        func.sum(Shard.frames).label("frames"),
        func.sum(Shard.planned_frames).label("planned_frames"),
        func.sum(Shard.faces).label("faces"),
        func.sum(case((is_open, remaining), else_=0)).label("remaining"),
    )
    return session.execute(select(*columns).where(Shard.job_id == job_id).group_by(Shard.state)).all()


def _counts(work: Sequence[Row[Any]]) -> dict[str, int]:
    return {row.state: row.shards for row in work if row.state in REPORTED_STATES}


def _seconds(job: Job) -> float:
    if job.started_at is None:
        return 0.0
    return ((job.finished_at or datetime.now(UTC)) - job.started_at).total_seconds()


def _eta(job: Job, remaining: int, fps: float) -> float | None:
    if job.state not in ("queued", "running"):
        return 0.0 if job.state == "done" else None
    return round(remaining / fps, 1) if fps > 0 else None


def _errors(session: Session, job: Job) -> list[dict[str, str]]:
    if job.kind == "train":
        # It has no files of its own; what it was given is in its options.
        return [{"uri": str(job.options["data"]), "error": job.error}] if job.error else []
    statement = (
        select(Media.uri, Media.error)
        .where(Media.job_id == job.id, Media.error.is_not(None))
        .order_by(Media.position)
        .limit(MAX_ERRORS)
    )
    return [{"uri": uri, "error": str(error)} for uri, error in session.execute(statement)]


def _models(session: Session, job_id: str) -> list[dict[str, Any]]:
    made = table("job_models", column("job_id"), *(column(name) for name in MADE_BY))
    statement = select(*(made.c[name] for name in MADE_BY)).where(made.c.job_id == job_id)
    # The detector, which has no share, comes first; then the members, the weightiest first.
    order = (made.c.ensemble, made.c.role.desc(), made.c.share.desc(), made.c.model_id)
    return [dict(row) for row in session.execute(statement.order_by(*order)).mappings()]
