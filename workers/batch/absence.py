"""A worker whose host lacks the files takes itself out, so that others do its shards, and looks for them again."""

import logging
from collections.abc import Sequence

from sqlalchemy import Engine as Database

from results import presence
from results.database import reading, writing
from workers.batch.missing import is_missing

logger = logging.getLogger(__name__)

MISSES = 3
"""How many files in a row, each with its folder, a process misses before its worker takes itself out."""


def leave(database: Database, worker: str, uris: Sequence[str]) -> None:
    """Takes the worker out; its main process stops receiving shards (`watchdog`)."""
    with writing(database) as session:
        presence.leave(session, worker, uris[-MISSES:])
    logger.warning(
        "worker %s takes itself out: %s files in a row are missing on this host, the last %s; is the share mounted? "
        "It looks for them again every few seconds",
        worker,
        len(uris),
        uris[-1],
    )


def is_absent(database: Database, worker: str) -> bool:
    """Whether the worker has taken itself out."""
    with reading(database) as session:
        return presence.missed_by(session, worker) is not None


def look_again(database: Database, worker: str, queues: Sequence[str]) -> bool:
    """Whether the worker is absent, after it has looked for its files again.

    It comes back if it sees one of them, or any other that waits in its queues (of a job whose files were deleted no
    worker will see one again), or if none waits.
    """
    with reading(database) as session:
        missed = presence.missed_by(session, worker)
        if missed is None:
            return False
        others = presence.open_uris(session, queues)
    is_back = not others or any(not is_missing(uri) for uri in (*missed, *others))
    with writing(database) as session:
        (presence.come_back if is_back else presence.still_absent)(session, worker)
    if is_back:
        logger.warning("worker %s is back: it sees files again", worker)
    return not is_back
