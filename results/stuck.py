"""Sessions that hold locks and are waited for in vain."""

from time import monotonic

from sqlalchemy import text
from sqlalchemy.orm import Session

from results.database import LOCKS_S

_WAITING = text("""
SELECT pid, query_start, bytes_processed FROM pg_stat_progress_copy JOIN pg_stat_activity USING (pid)
WHERE pg_stat_activity.datname = current_database() AND usename = current_user AND wait_event = 'ClientRead'
""")
_END = text("SELECT pg_terminate_backend(:pid)")


def end_stuck_copies(session: Session, silent_s: float = LOCKS_S) -> int:
    """Ends sessions of our user whose client has sent nothing for `silent_s` seconds in a COPY; returns how many.

    A worker that is frozen in the middle of a COPY holds its shard, and no timeout of PostgreSQL ends it: the session
    counts as active, and the system of the frozen process answers keepalives. PostgreSQL does not tell since when a
    client is silent: a session is ended when a later call on the same connection finds that it received nothing
    meanwhile. On SQLite there is nothing to do.
    """
    if session.get_bind().dialect.name != "postgresql":
        return 0
    now, kept = monotonic(), session.connection().info
    known = kept.get("waiting copies", {})
    # A COPY that received more bytes is another key, seen now for the first time.
    waiting = {copy: known.get(copy, now) for copy in map(tuple, session.execute(_WAITING))}
    kept["waiting copies"] = waiting
    stuck = [pid for (pid, *_), since in waiting.items() if now - since >= silent_s]
    return sum(session.execute(_END, {"pid": pid}).scalar_one() for pid in stuck)
