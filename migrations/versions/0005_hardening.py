"""What an attempt, a missing file, a closing job and a notification leave behind; what a file was when it was planned.

Only new tables and columns that may be null or have a default: workers of the earlier version go on meanwhile.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COLUMNS = {
    "jobs": ("closing_attempts",),
    "media": ("ordered", "size", "modified", "etag", "query", "closing"),
    "shards": ("last_worker", "missing_since", "not_before"),
}
TABLES = ("shard_attempts", "track_labels", "notifications", "sweeps", "absent_workers")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("closing_attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("media", sa.Column("ordered", sa.Boolean()))
    op.add_column("media", sa.Column("size", sa.BigInteger()))
    op.add_column("media", sa.Column("modified", sa.Double()))
    for name in ("etag", "query", "closing"):
        op.add_column("media", sa.Column(name, sa.Text()))
    _hide_queries()
    op.add_column("shards", sa.Column("last_worker", sa.Text()))
    for name in ("missing_since", "not_before"):
        op.add_column("shards", sa.Column(name, MOMENT))
    _create_of_shards()
    op.create_table(
        "notifications",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("sent_at", MOMENT),
        sa.Column("error", sa.Text()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_notifications_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_notifications")),
    )
    op.create_table(
        "sweeps",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("swept_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_sweeps")),
    )
    op.create_table(
        "absent_workers",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("uris", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_absent_workers")),
    )


def downgrade() -> None:
    for created in TABLES:
        op.drop_table(created)
    # SQLite can only rebuild the tables, and refuses while views read them, except in its legacy mode.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA legacy_alter_table = ON")
    for name, columns in COLUMNS.items():
        with op.batch_alter_table(name) as table:
            for column in columns:
                table.drop_column(column)


def _hide_queries() -> None:
    """The query of a URL may hold a signature. Unfinished jobs keep theirs: workers of the earlier version read it."""
    mark = f"{'instr' if op.get_bind().dialect.name == 'sqlite' else 'strpos'}(uri, '?')"
    op.execute(
        f"UPDATE media SET query = substr(uri, {mark} + 1), uri = substr(uri, 1, {mark} - 1) "
        f"WHERE {mark} > 0 AND (uri LIKE 'http://%' OR uri LIKE 'https://%') "
        "AND job_id IN (SELECT id FROM jobs WHERE finished_at IS NOT NULL)"
    )


def _create_of_shards() -> None:
    op.create_table(
        "shard_attempts",
        sa.Column("shard_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker", sa.Text()),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["shard_id"], ["shards.id"], name=op.f("fk_shard_attempts_shard_id_shards"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shard_id", "epoch", name=op.f("pk_shard_attempts")),
    )
    op.create_table(
        "track_labels",
        sa.Column("shard_id", sa.Integer(), nullable=False),
        sa.Column("track_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["shard_id"], ["shards.id"], name=op.f("fk_track_labels_shard_id_shards"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shard_id", "track_id", name=op.f("pk_track_labels")),
    )
