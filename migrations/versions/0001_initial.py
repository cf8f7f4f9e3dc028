"""The first tables and the views on them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def upgrade() -> None:
    _create_jobs()
    _create_results()
    for view in (EMOTION_TIMELINE, TRACK_TIMELINE, JOB_PROGRESS):
        op.execute(view)


def downgrade() -> None:
    for view in ("job_progress", "track_timeline", "emotion_timeline"):
        op.execute(f"DROP VIEW {view}")
    for table in ("frames", "faces", "tracks", "shards", "media", "jobs"):
        op.drop_table(table)


def _probabilities() -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double(), nullable=False) for name in EMOTIONS]


def _means() -> str:
    return ", ".join(f"AVG({name}) AS {name}" for name in EMOTIONS)


def _dominant() -> str:
    branches = "".join(
        f" WHEN {' AND '.join(f'{name} >= {later}' for later in EMOTIONS[i + 1 :])} THEN '{name}'"
        for i, name in enumerate(EMOTIONS[:-1])
    )
    return f"CASE WHEN {EMOTIONS[0]} IS NULL THEN NULL{branches} ELSE '{EMOTIONS[-1]}' END"


# Grouped by job too, so that a query for one job does not aggregate the whole database.
EMOTION_TIMELINE = f"""
CREATE VIEW emotion_timeline AS
SELECT looked.job_id, looked.media_id, looked.uri, looked.second, looked.frames,
       COALESCE(felt.faces, 0) AS faces, {", ".join(EMOTIONS)}, {_dominant()} AS emotion, looked.face_share
FROM (
    SELECT media.job_id, frames.media_id, media.uri, frames.time_ms / 1000 AS second, COUNT(*) AS frames,
           CAST(AVG(CASE WHEN frames.faces > 0 THEN 1 ELSE 0 END) AS DOUBLE PRECISION) AS face_share
    FROM frames JOIN media ON media.id = frames.media_id
    GROUP BY media.job_id, frames.media_id, media.uri, frames.time_ms / 1000
) AS looked
LEFT JOIN (
    SELECT media.job_id, faces.media_id, faces.time_ms / 1000 AS second, COUNT(*) AS faces, {_means()}
    FROM faces JOIN media ON media.id = faces.media_id
    GROUP BY media.job_id, faces.media_id, faces.time_ms / 1000
) AS felt
ON felt.job_id = looked.job_id AND felt.media_id = looked.media_id AND felt.second = looked.second
"""

TRACK_TIMELINE = f"""
CREATE VIEW track_timeline AS
SELECT job_id, media_id, track_id, second, observations, {", ".join(EMOTIONS)}, {_dominant()} AS emotion
FROM (
    SELECT media.job_id, faces.media_id, faces.track_id, faces.time_ms / 1000 AS second,
           COUNT(*) AS observations, {_means()}
    FROM faces JOIN media ON media.id = faces.media_id
    WHERE faces.track_id IS NOT NULL
    GROUP BY media.job_id, faces.media_id, faces.track_id, faces.time_ms / 1000
) AS felt
"""

JOB_PROGRESS = """
CREATE VIEW job_progress AS
SELECT jobs.id AS job_id, jobs.name, jobs.kind, jobs.state, jobs.created_at, jobs.started_at,
       jobs.finished_at,
       COALESCE(files.media, 0) AS media, COALESCE(files.media_failed, 0) AS media_failed,
       COALESCE(work.pending, 0) AS shards_pending, COALESCE(work.running, 0) AS shards_running,
       COALESCE(work.done, 0) AS shards_done, COALESCE(work.failed, 0) AS shards_failed,
       COALESCE(work.cancelled, 0) AS shards_cancelled, COALESCE(work.frames, 0) AS frames,
       COALESCE(work.planned_frames, 0) AS planned_frames, COALESCE(work.faces, 0) AS faces
FROM jobs
LEFT JOIN (
    SELECT job_id, COUNT(*) AS media, COUNT(*) FILTER (WHERE state = 'failed') AS media_failed
    FROM media GROUP BY job_id
) AS files ON files.job_id = jobs.id
LEFT JOIN (
    SELECT job_id,
           COUNT(*) FILTER (WHERE state = 'pending') AS pending,
           COUNT(*) FILTER (WHERE state = 'running') AS running,
           COUNT(*) FILTER (WHERE state = 'done') AS done,
           COUNT(*) FILTER (WHERE state = 'failed') AS failed,
           COUNT(*) FILTER (WHERE state = 'cancelled') AS cancelled,
           SUM(frames) AS frames, SUM(planned_frames) AS planned_frames, SUM(faces) AS faces
    FROM shards GROUP BY job_id
) AS work ON work.job_id = jobs.id
"""


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("request_token", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("kind IN ('batch', 'stream', 'train', 'evaluate')", name=op.f("ck_jobs_kind")),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name=op.f("ck_jobs_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("request_token", name=op.f("uq_jobs_request_token")),
    )
    op.create_table(
        "media",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("fps", sa.Double()),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("frame_count", sa.Integer()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("kind IN ('image', 'video', 'stream')", name=op.f("ck_media_kind")),
        sa.CheckConstraint("state IN ('pending', 'done', 'failed', 'cancelled')", name=op.f("ck_media_state")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_media_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_media")),
        sa.UniqueConstraint("job_id", "position", name=op.f("uq_media_job_id_position")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "shards",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("media_id", sa.Integer()),
        sa.Column("first_position", sa.Integer(), nullable=False),
        sa.Column("last_position", sa.Integer(), nullable=False),
        sa.Column("start_ms", sa.BigInteger()),
        sa.Column("end_ms", sa.BigInteger()),
        sa.Column("start_frame", sa.Integer(), nullable=False),
        sa.Column("planned_frames", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text()),
        sa.Column("queued_at", sa.DateTime(timezone=True)),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True)),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("faces", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'done', 'failed', 'cancelled')", name=op.f("ck_shards_state")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_shards_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["media_id"], ["media.id"], name=op.f("fk_shards_media_id_media"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shards")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_shards_job_id_state"), "shards", ["job_id", "state"])
    op.create_index(op.f("ix_shards_media_id"), "shards", ["media_id"])


def _create_results() -> None:
    op.create_table(
        "tracks",
        sa.Column("media_id", sa.Integer(), nullable=False),
        sa.Column("track_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("observations", sa.Integer(), nullable=False),
        sa.Column("emotion", sa.Text(), nullable=False),
        *_probabilities(),
        sa.ForeignKeyConstraint(["media_id"], ["media.id"], name=op.f("fk_tracks_media_id_media"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("media_id", "track_id", name=op.f("pk_tracks")),
    )
    op.create_table(
        "faces",
        sa.Column("media_id", sa.Integer(), nullable=False),
        sa.Column("frame_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("face_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard_id", sa.Integer(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("track_id", sa.Integer()),
        sa.Column("x1", sa.Double(), nullable=False),
        sa.Column("y1", sa.Double(), nullable=False),
        sa.Column("x2", sa.Double(), nullable=False),
        sa.Column("y2", sa.Double(), nullable=False),
        sa.Column("detection_score", sa.Double(), nullable=False),
        sa.Column("emotion", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        *_probabilities(),
        sa.Column("quality", sa.Double()),
        sa.ForeignKeyConstraint(["media_id"], ["media.id"], name=op.f("fk_faces_media_id_media"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["shard_id"], ["shards.id"], name=op.f("fk_faces_shard_id_shards"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("media_id", "frame_index", "face_index", name=op.f("pk_faces")),
    )
    op.create_index(op.f("ix_faces_media_id_track_id"), "faces", ["media_id", "track_id"])
    op.create_index(op.f("ix_faces_shard_id"), "faces", ["shard_id"])
    op.create_table(
        "frames",
        sa.Column("media_id", sa.Integer(), nullable=False),
        sa.Column("frame_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard_id", sa.Integer(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("faces", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["media_id"], ["media.id"], name=op.f("fk_frames_media_id_media"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["shard_id"], ["shards.id"], name=op.f("fk_frames_shard_id_shards"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("media_id", "frame_index", name=op.f("pk_frames")),
    )
    op.create_index(op.f("ix_frames_shard_id"), "frames", ["shard_id"])
