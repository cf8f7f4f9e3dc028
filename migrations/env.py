"""Alembic's environment: runs the migrations on the connection that `results.database.upgrade` passes.

The `alembic` command line, which maintainers use to write a revision, connects to `FER_DATABASE_URL` instead.
"""

import os
from importlib import import_module

from alembic import context
from sqlalchemy import Connection

from results.columns import Base
from results.database import connect

for module in ("results.tables", "results.stream_tables", "results.markers"):
    import_module(module)


def _migrate(connection: Connection) -> None:
    # SQLite supports few ALTER statements; batch mode rebuilds the table.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    _migrate(handed_in)
else:
    with connect(os.environ["FER_DATABASE_URL"]).begin() as own:
        _migrate(own)
