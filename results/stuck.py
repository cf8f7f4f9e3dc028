"""Sessions that hold locks and are waited for in vain."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from results.database import LOCKS_S

_END = text("""
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND state = 'active' AND wait_event = 'ClientRead' AND query LIKE 'COPY %'
  AND query_start < clock_timestamp() - make_interval(secs => :age_s)
""")


def end_stuck_copies(session: Session, age_s: float = LOCKS_S) -> int:
    """Ends sessions of our user that have waited in a COPY for `age_s` seconds for their client; returns how many.

    A worker that is frozen in the middle of a COPY holds its shard, and no timeout of PostgreSQL ends it: the session
    counts as active, and the system of the frozen process answers keepalives. On SQLite there is nothing to do.
    """
    if session.get_bind().dialect.name != "postgresql":
        return 0
    return session.execute(_END, {"age_s": age_s}).scalar_one()
