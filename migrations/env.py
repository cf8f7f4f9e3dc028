"""What Alembic runs: the migrations over the connection that `results.database.upgrade` hands in.

The `alembic` command line, with which a maintainer writes a new revision, takes `FER_DATABASE_URL` instead.
"""

import os

from alembic import context
from sqlalchemy import Connection

from results.database import connect
from results.tables import Base


def _migrate(connection: Connection) -> None:
    # SQLite cannot alter most things in place; batch mode rebuilds the table.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    _migrate(handed_in)
else:
    with connect(os.environ["FER_DATABASE_URL"]).begin() as own:
        _migrate(own)
