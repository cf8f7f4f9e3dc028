"""The tables. They are a public interface: a column's name and meaning change only with a migration."""

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from results.columns import Base, Count, EnsembleKey, JobKey, MediaKey, ModelKey, Ms, ShardKey, one_of

JOB_KINDS = ("batch", "stream", "train", "evaluate")
JOB_STATES = ("queued", "running", "done", "failed", "cancelled")
MEDIA_KINDS = ("image", "video", "stream")
MEDIA_STATES = ("pending", "done", "failed", "cancelled")
SHARD_STATES = ("pending", "running", "done", "failed", "cancelled")
PRIORITY = 5
MODEL_KINDS = ("detector", "classifier")
MODEL_SOURCES = ("shipped", "trained", "pulled", "given")


def new_job_id(moment: datetime | None = None) -> str:
    """A job's id: the UTC time (default now) to the millisecond, then four random hex digits; sorts by time."""
    return f"{moment or datetime.now(UTC):%Y%m%dT%H%M%S%f}"[:-3] + f"-{secrets.token_hex(2)}"


class Job(Base):
    """One request; of queued jobs the one with the higher `priority`, 0 to 9, goes first."""

    __tablename__ = "jobs"
    __table_args__ = (one_of("kind", JOB_KINDS), one_of("state", JOB_STATES))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_job_id)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")
    name: Mapped[str | None]
    options: Mapped[dict[str, Any]]
    queue: Mapped[str] = mapped_column(default="batch")
    priority: Mapped[int] = mapped_column(default=PRIORITY, server_default=str(PRIORITY))
    request_token: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[str | None]
    closing_attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    closing_at: Mapped[datetime | None]


class Media(Base):
    """One picture, one video or one hour of a stream; `position` is its place in the job, from 0.

    A stream's hour has the hours since 1970 (UTC) as its `position`, and `started_at` is its beginning.

    A video of which some segments failed is `done` and has an `error`. `uri` has neither login nor query; the query,
    which may hold a signature, is in `query`, for workers alone. `size` in bytes, `modified` (the file's mtime, seconds
    since 1970 in UTC) and `etag` are those of planning. `note` is what planning said about a video that can be read;
    its `error` begins with it. `closing` is how far `results.closing` has come with a video.
    """

    __tablename__ = "media"
    __table_args__ = (
        UniqueConstraint("job_id", "position"),
        one_of("kind", MEDIA_KINDS),
        one_of("state", MEDIA_STATES),
        # With a reused id a late worker of a deleted job would write into a new one.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[JobKey]
    position: Mapped[int]
    uri: Mapped[str]
    kind: Mapped[str]
    width: Mapped[int | None]
    height: Mapped[int | None]
    fps: Mapped[float | None]
    duration_ms: Mapped[Ms | None]
    frame_count: Mapped[int | None]
    ordered: Mapped[bool | None]
    state: Mapped[str] = mapped_column(default="pending")
    error: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    modified: Mapped[float | None]
    etag: Mapped[str | None]
    query: Mapped[str | None]
    closing: Mapped[str | None]
    note: Mapped[str | None]
    started_at: Mapped[datetime | None]

    @property
    def address(self) -> str:
        """Where the medium is read, with a signature if it has one: not to be shown."""
        return self.uri if self.query is None else f"{self.uri}?{self.query}"


class Shard(Base):
    """The unit of work that one message carries: a segment of a video, or a run of pictures.

    A shard of pictures covers the media of its job from `first_position` to `last_position`, both included.
    A shard of a video has `media_id`, both positions are that medium's, and [start_ms, end_ms) is its part;
    without `start_ms` it is a whole video that has not been probed yet. `seam` are the boxes of its tracks in frames
    from `end_ms` on, as rows [frame_index, track_id, x1, y1, x2, y2]: there the next segment's tracks are joined.
    A training or a stream is one shard without media. `epoch` is the fencing token, incremented by each
    claim.
    `ensemble_id` is the ensemble that made the shard's rows. `last_worker` is the worker before `worker`. Its files are
    missing since `missing_since`, and it gets no message before `not_before`.
    """

    __tablename__ = "shards"
    __table_args__ = (
        Index(None, "job_id", "state"),
        one_of("state", SHARD_STATES),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[JobKey]
    media_id: Mapped[MediaKey | None] = mapped_column(index=True)
    first_position: Mapped[int]
    last_position: Mapped[int]
    start_ms: Mapped[Ms | None]
    end_ms: Mapped[Ms | None]
    start_frame: Mapped[int] = mapped_column(default=0)
    planned_frames: Mapped[int]
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    epoch: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    queued_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    frames: Mapped[Count]
    faces: Mapped[Count]
    error: Mapped[str | None]
    ensemble_id: Mapped[EnsembleKey | None] = mapped_column(index=True)
    seam: Mapped[list[list[float]] | None]
    last_worker: Mapped[str | None]
    missing_since: Mapped[datetime | None]
    not_before: Mapped[datetime | None]


class ShardAttempt(Base):
    """One attempt at a shard that did not end in its rows, and why; `epoch` is its fencing token."""

    __tablename__ = "shard_attempts"

    shard_id: Mapped[ShardKey] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker: Mapped[str | None]
    ended_at: Mapped[datetime]
    counted: Mapped[bool]
    error: Mapped[str]


class Emotions:
    """Seven probabilities, or means of them, 0 to 1, in FER-2013's order."""

    angry: Mapped[float] = mapped_column(sort_order=1)
    disgust: Mapped[float] = mapped_column(sort_order=1)
    fear: Mapped[float] = mapped_column(sort_order=1)
    happy: Mapped[float] = mapped_column(sort_order=1)
    sad: Mapped[float] = mapped_column(sort_order=1)
    surprise: Mapped[float] = mapped_column(sort_order=1)
    neutral: Mapped[float] = mapped_column(sort_order=1)


class Frame(Base):
    """One processed frame, whether it showed a face or not."""

    __tablename__ = "frames"

    media_id: Mapped[MediaKey] = mapped_column(primary_key=True)
    frame_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shard_id: Mapped[ShardKey] = mapped_column(index=True)
    time_ms: Mapped[Ms]
    faces: Mapped[int]


class Face(Emotions, Base):
    """One face in one frame; the box is in pixels of the original picture."""

    __tablename__ = "faces"
    # Timelines read whole media, which the primary key serves; smoothing reads tracks in the order of time.
    __table_args__ = (Index(None, "media_id", "track_id", "time_ms"),)

    media_id: Mapped[MediaKey] = mapped_column(primary_key=True)
    frame_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    face_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shard_id: Mapped[ShardKey] = mapped_column(index=True)
    time_ms: Mapped[Ms]
    track_id: Mapped[int | None]
    x1: Mapped[float]
    y1: Mapped[float]
    x2: Mapped[float]
    y2: Mapped[float]
    detection_score: Mapped[float]
    emotion: Mapped[str]
    confidence: Mapped[float]
    quality: Mapped[float | None] = mapped_column(sort_order=2)


class Track(Emotions, Base):
    """One person tracked through one medium, with the mean of each probability."""

    __tablename__ = "tracks"

    media_id: Mapped[MediaKey] = mapped_column(primary_key=True)
    track_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first_ms: Mapped[Ms]
    last_ms: Mapped[Ms]
    observations: Mapped[int]
    emotion: Mapped[str]


class TrackLabel(Base):
    """The id in the whole video of a track that its segment still calls `track_id`; deleted once `faces` has it."""

    __tablename__ = "track_labels"

    shard_id: Mapped[ShardKey] = mapped_column(primary_key=True)
    track_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    label: Mapped[int]


class Notification(Base):
    """Where the end of a job is posted; `due_at` is the next try, `sent_at` the one that was answered."""

    __tablename__ = "notifications"

    job_id: Mapped[JobKey] = mapped_column(primary_key=True)
    url: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]


class Sweep(Base):
    """When a worker last swept a queue: one of all workers does it each time."""

    __tablename__ = "sweeps"

    queue: Mapped[str] = mapped_column(primary_key=True)
    swept_at: Mapped[datetime]


class AbsentWorker(Base):
    """A worker that took itself out, because `uris`, files of its shards, are missing on its host."""

    __tablename__ = "absent_workers"

    worker: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    seen_at: Mapped[datetime]
    uris: Mapped[list[str]]


class Model(Base):
    """One network's weights, a file named by its sha256.

    `id` is the first twelve hex digits of the sha256. `facts` are further properties (measured accuracy,
    parameters ...) by name.
    """

    __tablename__ = "models"
    __table_args__ = (one_of("kind", MODEL_KINDS), one_of("source", MODEL_SOURCES))

    id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    kind: Mapped[str]
    architecture: Mapped[str]
    source: Mapped[str]
    recipe: Mapped[str | None]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    licence: Mapped[str | None]
    facts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))


class Ensemble(Base):
    """A detector, and classifiers whose weighted outputs are averaged.

    Workers use the ensemble with the latest `promoted_at`, or the shipped one if none has one. An ensemble is
    immutable otherwise.
    """

    __tablename__ = "ensembles"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    detector_id: Mapped[ModelKey]
    margin: Mapped[float]
    temperature: Mapped[float] = mapped_column(default=1.0)
    fitted_on: Mapped[str | None]
    promoted_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))


class EnsembleMember(Base):
    """One classifier of an ensemble; the shares of an ensemble sum to 1."""

    __tablename__ = "ensemble_members"

    ensemble_id: Mapped[int] = mapped_column(ForeignKey("ensembles.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model_id: Mapped[ModelKey] = mapped_column(index=True)
    share: Mapped[float]


class TrainingRun(Base):
    """The definition and the outcome of a job of kind `train`; accuracies 0..1 (of a detector AP50)."""

    __tablename__ = "training_runs"
    __table_args__ = (one_of("kind", MODEL_KINDS),)

    job_id: Mapped[JobKey] = mapped_column(primary_key=True)
    kind: Mapped[str]
    recipe: Mapped[str | None]
    data: Mapped[str]
    definition: Mapped[dict[str, Any]]
    epochs: Mapped[int]
    best_epoch: Mapped[int | None]
    best_accuracy: Mapped[float | None]
    model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))


class TrainingEpoch(Base):
    """One finished epoch of a training run; `loading_seconds` is the part of `seconds` spent on loading batches."""

    __tablename__ = "training_epochs"

    job_id: Mapped[JobKey] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    loss: Mapped[float]
    train_accuracy: Mapped[float | None]
    validation_accuracy: Mapped[float]
    learning_rate: Mapped[float]
    seconds: Mapped[float]
    loading_seconds: Mapped[float | None]
    finished_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))


class Evaluation(Base):
    """The metrics of one model, or one ensemble, on a labelled set; `report` is the output of `evaluate --json`.

    `accuracy`, `ci_low` and `ci_high` in per cent, `macro_f1` and `ece` 0..1, `gmacs` in 10^9 multiply-adds a face.
    """

    __tablename__ = "evaluations"
    __table_args__ = (CheckConstraint("(model_id IS NULL) <> (ensemble_id IS NULL)", name="subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[ModelKey | None] = mapped_column(index=True)
    ensemble_id: Mapped[EnsembleKey | None] = mapped_column(index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    data: Mapped[str]
    split: Mapped[str]
    n: Mapped[int]
    accuracy: Mapped[float]
    ci_low: Mapped[float]
    ci_high: Mapped[float]
    macro_f1: Mapped[float]
    ece: Mapped[float]
    gmacs: Mapped[float]
    report: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))


class FaceScore(Emotions, Base):
    """One ensemble member's probabilities for one face; only with `--keep-member-scores`."""

    __tablename__ = "face_scores"
    __table_args__ = (
        ForeignKeyConstraint(
            ["media_id", "frame_index", "face_index"],
            ["faces.media_id", "faces.frame_index", "faces.face_index"],
            ondelete="CASCADE",
            name="fk_face_scores_face",
        ),
    )

    media_id: Mapped[int] = mapped_column(primary_key=True)
    frame_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    face_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model_id: Mapped[ModelKey] = mapped_column(primary_key=True)
