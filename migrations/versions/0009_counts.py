"""Counts of a stream that runs for years, what planning said about a file, and the lease of closing a job.

Workers of the earlier version go on meanwhile: a wider column takes what they write, and the new ones may be null. A
statement that they have prepared may fail once, which costs the shard at hand an attempt.
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
    # Jobs planned before have no note, so that a retry clears their error, as it did.
    _alter(sa.BigInteger())


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # It can only rebuild the table, and refuses while views read it, except in its legacy mode.
        op.execute("PRAGMA legacy_alter_table = ON")
    for name, column in (("jobs", "closing_at"), ("media", "note")):
        # Else SQLite would give the number of a deleted medium to a new one.
        with op.batch_alter_table(name, table_kwargs={"sqlite_autoincrement": name == "media"}) as table:
            table.drop_column(column)
    _alter(sa.Integer())


def _alter(kind: sa.types.TypeEngine[int]) -> None:
    """Integers of SQLite have 64 bits."""
    if op.get_bind().dialect.name != "postgresql":
        return
    view = str(import_module("migrations.versions.0001_initial").JOB_PROGRESS)
    view = view.replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
    # A view's columns cannot change while it reads them, and dropping it would drop grants, and views of others.
    op.execute(_summed(view, "CAST(0 AS BIGINT)"))
    for name in COUNTS:
        op.alter_column("shards", name, type_=kind)
    # PostgreSQL's sum of 64-bit integers is a decimal number.
    op.execute(_summed(view, "CAST(SUM({}) AS BIGINT)"))


def _summed(view: str, how: str) -> str:
    for name in COUNTS:
        view = view.replace(f"SUM({name})", how.format(name))
    return view
