"""The results of two jobs about the same files, row by row."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine as Database
from sqlalchemy import func, select, text

from fer_model.types import EMOTIONS
from results.database import reading
from results.jobs import UNFINISHED
from results.read.status import job_status
from results.tables import Job, Shard

Values = tuple[float, ...]
Key = tuple[str | int, ...]
Results = dict[str, dict[Key, Values]]

EXACT, PIXEL, SHARE = 0.0, 0.1, 1e-3
"""How far the same row of two runs may differ."""

COLUMNS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "frames": (("frame_index",), {"time_ms": EXACT, "faces": EXACT}),
    "faces": (
        ("frame_index", "face_index"),
        {"track_id": EXACT}
        | dict.fromkeys(("x1", "y1", "x2", "y2"), PIXEL)
        | dict.fromkeys(("detection_score", "confidence", *EMOTIONS), SHARE),
    ),
    "tracks": (
        ("track_id",),
        dict.fromkeys(("first_ms", "last_ms", "observations"), EXACT) | dict.fromkeys(EMOTIONS, SHARE),
    ),
}
"""The tables of results: the columns that identify a row within its file, and those that are compared."""


@dataclass(frozen=True)
class Difference:
    """The rows of a table against those of an undisturbed run."""

    rows: int
    lost: int
    added: int
    different: int


def done(database: Database, job: str) -> int:
    """How many shards of a job are done."""
    with reading(database) as session:
        return session.scalar(select(func.count()).where(Shard.job_id == job, Shard.state == "done")) or 0


def ended(database: Database, job: str) -> bool:
    """Whether a job has ended."""
    with reading(database) as session:
        return session.scalar(select(Job.state).where(Job.id == job)) not in UNFINISHED


def rows_of(database: Database, job: str) -> Results:
    """The results of a job by table and name: two jobs about the same files have the same names."""
    found: Results = {}
    with reading(database) as session:
        for table, (keys, values) in COLUMNS.items():
            columns = ", ".join(f"{table}.{name}" for name in (*keys, *values))
            statement = f"SELECT uri, {columns} FROM {table} JOIN media ON id = media_id WHERE job_id = :job"
            rows = session.execute(text(statement), {"job": job}).all()
            named = len(keys) + 1
            found[table] = {tuple(row[:named]): tuple(row[named:]) for row in rows}
    return found


def differences(before: Results, after: Results) -> dict[str, Difference]:
    """Compares the rows of each table."""
    return {
        table: Difference(
            rows=len(after[table]),
            lost=len(before[table].keys() - after[table].keys()),
            added=len(after[table].keys() - before[table].keys()),
            different=_different(table, before[table], after[table]),
        )
        for table in COLUMNS
    }


def _different(table: str, before: dict[Key, Values], after: dict[Key, Values]) -> int:
    same = sorted(before.keys() & after.keys())
    if not same:
        return 0
    # A face without a track has None, which equals only None.
    first, second = (np.array([rows[key] for key in same], np.float64) for rows in (before, after))
    tolerances = np.array(list(COLUMNS[table][1].values()))
    unequal = ~np.isclose(first, second, rtol=0, atol=tolerances, equal_nan=True)
    return int(unequal.any(axis=1).sum())


def miscounted(database: Database, job: str) -> int:
    """Counts that differ from the number of rows: each shard's, and the job's as `status` shows them."""
    wrong = 0
    with reading(database) as session:
        status = job_status(session, job)
        for table, counted in (("frames", status.frames), ("faces", status.faces)):
            rows = f"SELECT count(*) FROM {table} WHERE shard_id = shards.id"
            shards = f"SELECT {table}, ({rows}) FROM shards WHERE job_id = :job"
            counts = session.execute(text(shards), {"job": job}).all()
            wrong += sum(count != there for count, there in counts)
            wrong += counted != sum(there for _, there in counts)
    return wrong
