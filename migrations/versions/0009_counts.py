"""Counts of a stream that runs for years, what planning said about a file, and the lease of who closes a job.

Workers of the earlier version go on meanwhile: a wider column takes what they write, and the new ones may be null.
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COUNTS = ("frames", "faces")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("closing_at", sa.DateTime(timezone=True)))
    op.add_column("media", sa.Column("note", sa.Text()))
    # Of what unfinished jobs planned before, a retry forgets the note, as it did.
    _alter(sa.BigInteger())


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # It can only rebuild the table, and refuses while views read it, except in its legacy mode.
        op.execute("PRAGMA legacy_alter_table = ON")
    for name, column in (("jobs", "closing_at"), ("media", "note")):
        with op.batch_alter_table(name) as table:
            table.drop_column(column)
    _alter(sa.Integer())


def _alter(kind: sa.types.TypeEngine[int]) -> None:
    """Integers of SQLite have 64 bits."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("DROP VIEW job_progress")
    for name in COUNTS:
        op.alter_column("shards", name, type_=kind)
    view = str(import_module("migrations.versions.0001_initial").JOB_PROGRESS)
    for name in COUNTS:
        # PostgreSQL's sum of 64-bit integers is a decimal number.
        view = view.replace(f"SUM({name})", f"CAST(SUM({name}) AS BIGINT)")
    op.execute(view)
