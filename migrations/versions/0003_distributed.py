"""For jobs spread over many workers: the boxes of tracks beyond each seam of a video, and the priority of jobs."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Plain SQL for both databases: on SQLite it spares rebuilding tables that views read.
    op.execute("ALTER TABLE shards ADD COLUMN seam JSON")
    op.execute("ALTER TABLE jobs ADD COLUMN priority INTEGER DEFAULT 5 NOT NULL")


def downgrade() -> None:
    # SQLite can only rebuild the tables, and refuses while views read them, except in its legacy mode.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA legacy_alter_table = ON")
    for name, column in (("shards", "seam"), ("jobs", "priority")):
        with op.batch_alter_table(name) as table:
            table.drop_column(column)
