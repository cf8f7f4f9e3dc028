"""The status of jobs: state, counts, speed, errors, and the models that made the results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Row, case, cast, column, func, not_, select, table
from sqlalchemy.orm import Session

from results.errors import UnknownJobError
from results.tables import Job, Media, Shard

REPORTED_STATES = ("pending", "running", "done", "failed")
MAX_ERRORS = 1000
MADE_BY = ("ensemble", "role", "model_id", "model", "sha256", "share", "shards")
"""Columns of the view `job_models`."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job at one moment. `frames` and `faces` include what running shards have reported so far.

    `failed` counts the media that failed, `noted` the others of which there is a sentence, `missing` the shards that
    wait for files that workers miss. `fps` is frames per second of wall time since the job started; `eta_seconds` is
    None when unknown. `errors` are the sentences about media, with the state of each: `failed`, or another where it is
    a note. `models` are the job's rows of the view `job_models`: the models that made the results so far.
    """

    job: str
    kind: str
    name: str | None
    state: str
    error: str | None
    media: int
    failed: int
    noted: int
    missing: int
    shards: dict[str, int]
    frames: int
    planned_frames: int
    faces: int
    fps: float
    eta_seconds: float | None
    errors: list[dict[str, str]]
    models: list[dict[str, Any]]

    @property
    def failures(self) -> str | None:
        """How many files failed, such as "47 of 48 files failed"; None if none did."""
        return f"{self.failed:,} of {self.media:,} files failed" if self.failed else None

    @property
    def is_a_failure(self) -> bool:
        """Whether the job ended without its results: it is not done, or most of its files failed."""
        return self.state != "done" or 2 * self.failed > self.media

    def as_dict(self) -> dict[str, Any]:
        """What `status --json` prints."""
        counts = ("media", "shards", "frames", "faces", "fps", "eta_seconds")
        return {key: getattr(self, key) for key in ("job", "state", *counts, "errors", "models")}

    @property
    def ensembles(self) -> dict[str, int]:
        """How many shards' rows each ensemble made, by name."""
        return {row["ensemble"]: row["shards"] for row in self.models}


def job_status(session: Session, job_id: str) -> JobStatus:
    """The status of the job whose full id is `job_id`.

    Raises:
        UnknownJobError: there is no such job; `jobs.get_job` finds one by what a user typed.
    """
    found = job_statuses(session, [job_id])
    if not found:
        raise UnknownJobError(f"There is no job '{job_id}' any more.")
    return found[0]


def job_statuses(session: Session, job_ids: Sequence[str]) -> list[JobStatus]:
    """The statuses of these jobs, in this order, in five statements however many they are; unknown ids are left out.

    Each lists at most `MAX_ERRORS` errors.
    """
    jobs = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(job_ids)))}
    media, errors = _count_media(session, job_ids), _errors(session, job_ids)
    work, models = _work(session, job_ids), _models(session, job_ids)
    return [
        _status(jobs[key], media.get(key, (0, 0, 0)), work.get(key, []), errors.get(key, []), models.get(key, []))
        for key in job_ids
        if key in jobs
    ]


def _status(
    job: Job,
    media: tuple[int, int, int],
    work: Sequence[Row[Any]],
    errors: list[dict[str, str]],
    models: list[dict[str, Any]],
) -> JobStatus:
    frames = sum(row.frames for row in work)
    fps = frames / seconds if (seconds := _seconds(job)) > 0 else 0.0
    # A training has no files of its own; its data are in its options.
    is_training = job.kind == "train" and job.error is not None
    own = [{"uri": str(job.options["data"]), "error": str(job.error), "state": job.state}] if is_training else []
    return JobStatus(
        job=job.id,
        kind=job.kind,
        name=job.name,
        state=job.state,
        error=job.error,
        media=media[0],
        failed=media[1],
        noted=media[2],
        missing=sum(row.missing for row in work),
        shards=dict.fromkeys(REPORTED_STATES, 0) | _counts(work),
        frames=frames,
        planned_frames=sum(row.planned_frames for row in work),
        faces=sum(row.faces for row in work),
        # A stream may have been stopped for days; its own figures are in `read.streams`.
        fps=0.0 if job.kind == "stream" else round(fps, 3),
        eta_seconds=None if job.kind == "stream" else _eta(job, sum(row.remaining for row in work), fps),
        errors=own or errors,
        models=models,
    )


def _count_media(session: Session, job_ids: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """By job, its media, those of them that failed, and the others of which there is a sentence."""
    has_failed = Media.state == "failed"
    kinds = (func.count().filter(has_failed), func.count().filter(not_(has_failed), Media.error.is_not(None)))
    counts = select(Media.job_id, func.count(), *kinds).where(Media.job_id.in_(job_ids)).group_by(Media.job_id)
    return {job_id: (media, failed, noted) for job_id, media, failed, noted in session.execute(counts)}


def _work(session: Session, job_ids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """By job, one row for each state that its shards are in."""
    # A variable frame rate may give a shard more frames than were planned.
    remaining = case((Shard.frames < Shard.planned_frames, Shard.planned_frames - Shard.frames), else_=0)
    is_open = Shard.state.in_(("pending", "running"))
    columns = (
        Shard.job_id,
        Shard.state,
        func.count().label("shards"),
        cast(func.sum(Shard.frames), BigInteger).label("frames"),
        func.sum(Shard.planned_frames).label("planned_frames"),
        cast(func.sum(Shard.faces), BigInteger).label("faces"),
        cast(func.sum(case((is_open, remaining), else_=0)), BigInteger).label("remaining"),
        func.count().filter(Shard.state == "pending", Shard.missing_since.is_not(None)).label("missing"),
    )
    found: dict[str, list[Row[Any]]] = {}
    rows: Any = session.execute(select(*columns).where(Shard.job_id.in_(job_ids)).group_by(Shard.job_id, Shard.state))
    for row in rows:
        found.setdefault(row.job_id, []).append(row)
    return found


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


def sentence(failure: Mapping[str, str]) -> str:
    """One of `errors` as a sentence that begins with the medium's address."""
    uri, error = failure["uri"], failure["error"]
    return error if error.startswith(uri) else f"{uri}: {error}"


def _errors(session: Session, job_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    place = func.row_number().over(partition_by=Media.job_id, order_by=Media.position).label("place")
    noted = select(Media.job_id, Media.uri, Media.error, Media.state, place)
    media = noted.where(Media.job_id.in_(job_ids), Media.error.is_not(None)).subquery().c
    wanted = select(media.job_id, media.uri, media.error, media.state)
    ordered = wanted.where(media.place <= MAX_ERRORS).order_by(media.job_id, media.place)
    found: dict[str, list[dict[str, str]]] = {}
    for job_id, uri, error, state in session.execute(ordered):
        found.setdefault(job_id, []).append({"uri": uri, "error": error, "state": state})
    return found


def _models(session: Session, job_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    made = table("job_models", column("job_id"), *(column(name) for name in MADE_BY)).c
    # The detector, which has no share, comes first; then the members by descending share.
    order = (made.ensemble, made.role.desc(), made.share.desc(), made.model_id)
    statement = select(made.job_id, *(made[name] for name in MADE_BY)).where(made.job_id.in_(job_ids)).order_by(*order)
    found: dict[str, list[dict[str, Any]]] = {}
    for job_id, *values in session.execute(statement):
        found.setdefault(job_id, []).append(dict(zip(MADE_BY, values, strict=True)))
    return found
