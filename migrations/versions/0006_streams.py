"""Streams: their state, their logins apart from it, their events, and moments in the timelines.

Only new tables, columns that may be null, and a view's new last column: workers of the earlier version go on meanwhile.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FIGURES = ("capture_fps", "processed_fps", "delay_p50_ms", "delay_p95_ms")
SKIPPED = ("skipped_stale", "skipped_decode", "skipped_overload")


def upgrade() -> None:
    op.add_column("media", sa.Column("started_at", MOMENT))
    _create_streams()
    op.create_table(
        "stream_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("media_id", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('connected', 'lost', 'resumed', 'clock', 'resolution', 'degraded', 'taken_over', 'stopped')",
            name=op.f("ck_stream_events_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["media_id"], ["media.id"], name=op.f("fk_stream_events_media_id_media"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream_events")),
    )
    op.create_index(op.f("ix_stream_events_media_id_at"), "stream_events", ["media_id", "at"])
    moment = MOMENTS[op.get_bind().dialect.name]
    replace_views(f", {moment.format('looked')} AS at", f", {moment.format('felt')} AS at")


def downgrade() -> None:
    replace_views("", "")
    for created in ("stream_events", "stream_logins", "streams"):
        op.drop_table(created)
    # SQLite can only rebuild the table, and refuses while views read it, except in its legacy mode.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA legacy_alter_table = ON")
    with op.batch_alter_table("media") as media:
        media.drop_column("started_at")


def _create_streams() -> None:
    op.create_table(
        "streams",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("next_track_id", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("appends", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("clock", sa.Text()),
        *(sa.Column(name, sa.Double()) for name in FIGURES),
        *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in SKIPPED),
        sa.Column("reconnects", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'connecting', 'live', 'reconnecting', 'stopped')", name=op.f("ck_streams_state")
        ),
        sa.CheckConstraint("clock IN ('rtcp', 'arrival')", name=op.f("ck_streams_clock")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_streams_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_streams")),
        sa.UniqueConstraint("name", name=op.f("uq_streams_name")),
    )
    op.create_table(
        "stream_logins",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password", sa.Text()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_stream_logins_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_stream_logins")),
    )


# In the format of SQLAlchemy, as all moments on SQLite.
MOMENTS = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', {0}.started_at, {0}.second || ' seconds')",
    "postgresql": "{0}.started_at + {0}.second * INTERVAL '1 second'",
}


def replace_views(looked_at: str, felt_at: str) -> None:
    """The views of the first revision with one more column at the end, or none."""
    views = {"emotion_timeline": _emotion_timeline(looked_at), "track_timeline": _track_timeline(felt_at)}
    for name, query in views.items():
        # PostgreSQL keeps grants, and views of others on this one, while columns are only added.
        if looked_at and op.get_bind().dialect.name == "postgresql":
            op.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
        else:
            op.execute(f"DROP VIEW {name}")
            op.execute(f"CREATE VIEW {name} AS {query}")


def _means() -> str:
    return ", ".join(f"AVG({name}) AS {name}" for name in EMOTIONS)


def _dominant() -> str:
    branches = "".join(
        f" WHEN {' AND '.join(f'{name} >= {later}' for later in EMOTIONS[i + 1 :])} THEN '{name}'"
        for i, name in enumerate(EMOTIONS[:-1])
    )
    return f"CASE WHEN {EMOTIONS[0]} IS NULL THEN NULL{branches} ELSE '{EMOTIONS[-1]}' END"


# Grouped by job too, so that a query for one job does not aggregate the whole database.
def _emotion_timeline(at: str) -> str:
    started_at = "media.started_at, " if at else ""
    return f"""
SELECT looked.job_id, looked.media_id, looked.uri, looked.second, looked.frames,
       COALESCE(felt.faces, 0) AS faces, {", ".join(EMOTIONS)}, {_dominant()} AS emotion, looked.face_share{at}
FROM (
    SELECT media.job_id, frames.media_id, media.uri, {started_at}frames.time_ms / 1000 AS second, COUNT(*) AS frames,
           CAST(AVG(CASE WHEN frames.faces > 0 THEN 1 ELSE 0 END) AS DOUBLE PRECISION) AS face_share
    FROM frames JOIN media ON media.id = frames.media_id
    GROUP BY media.job_id, frames.media_id, media.uri, {started_at}frames.time_ms / 1000
) AS looked
LEFT JOIN (
    SELECT media.job_id, faces.media_id, faces.time_ms / 1000 AS second, COUNT(*) AS faces, {_means()}
    FROM faces JOIN media ON media.id = faces.media_id
    GROUP BY media.job_id, faces.media_id, faces.time_ms / 1000
) AS felt
ON felt.job_id = looked.job_id AND felt.media_id = looked.media_id AND felt.second = looked.second
"""


def _track_timeline(at: str) -> str:
    started_at = "media.started_at, " if at else ""
    return f"""
SELECT job_id, media_id, track_id, second, observations, {", ".join(EMOTIONS)}, {_dominant()} AS emotion{at}
FROM (
    SELECT media.job_id, faces.media_id, {started_at}faces.track_id, faces.time_ms / 1000 AS second,
           COUNT(*) AS observations, {_means()}
    FROM faces JOIN media ON media.id = faces.media_id
    WHERE faces.track_id IS NOT NULL
    GROUP BY media.job_id, faces.media_id, {started_at}faces.track_id, faces.time_ms / 1000
) AS felt
"""
