"""Results as data frames, for notebooks."""

import os
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

DATABASE = "sqlite:///fer-batch.db"


def read_faces(
    job: str | None = None,
    *,
    database: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    smooth: float = 0.0,
    min_confidence: float = 0.0,
    min_quality: float = 0.0,
) -> "polars.DataFrame":
    """The faces of a job as a polars frame, one row each, with the columns of an export (`.to_pandas()` for pandas).

    `job` is an id, the beginning or end of one, or a stream's name; the newest job, if none is named. `database` is its
    URL, otherwise `FER_DATABASE_URL`, otherwise `fer-batch.db` in the current folder. `since` and `until`, which have a
    time zone, limit the faces of a stream; the column `at` is their time in UTC. `smooth` is in seconds, the other two
    lie in 0..1; see `results.read.face_filter.FaceFilter`. The whole job is loaded into memory: 200 bytes a face.

    Raises:
        UnknownJobError: no job matches, or several do.
        DatabaseUrlError, DatabaseUnreachableError, DatabaseOutdatedError.
        TimelineError: `smooth` or a limit is out of its range, or the job of a period is no stream.
    """
    import polars

    from results.database import check_revision, existing, reading
    from results.jobs import get_job, newest_job
    from results.read.exports import batches
    from results.read.face_filter import FaceFilter
    from results.read.parts import Period, part_of

    face_filter = FaceFilter(min_confidence, min_quality, smooth)
    opened = existing(database or os.environ.get("FER_DATABASE_URL") or DATABASE)
    try:
        check_revision(opened)
        with reading(opened) as session:
            found = get_job(session, job) if job else newest_job(session)
            part = part_of(session, found.id, None, Period(since, until))
            return polars.concat(batches(session, part, face_filter))
    finally:
        opened.dispose()
