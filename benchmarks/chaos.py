"""What a job loses, counts twice and costs while everything beneath it is killed, again and again.

    python -m benchmarks.chaos --faults 30 --seconds 60 --seed 1

Two workers do the same job twice, with a real Redis and a real PostgreSQL: undisturbed, and then with faults at
random moments. What died is started again a second later, as an init system would. The rows of both are compared.
Where the job ends before everything has happened to it, it is done again, and the rest happens then.
"""

import shutil
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
from sqlalchemy import Engine as Database
from sqlalchemy import func, select, text

from benchmarks.cluster import Cluster, cluster, submit
from benchmarks.faults import FAULTS, Fault, JobEndedError, revived_until
from fer_model.samples import write_clip
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
"""The tables of results: what names a row within its file, and what is compared."""

OPTIONS = ("--shard-seconds", "1", "--every", "5")

FRUITLESS = 4
"""So many jobs in a row to which nothing could happen are too many; one may be where something else keeps us busy."""


@dataclass(frozen=True)
class Difference:
    """The rows of a table against those of an undisturbed run."""

    rows: int
    lost: int
    added: int
    different: int


@dataclass(frozen=True)
class Outcome:
    """What became of a disturbed job. `revived` counts the workers that ended without being killed, since the start."""

    state: str
    faults: Counter[str]
    shards: int
    failed: int
    extra_attempts: int
    revived: int
    tables: dict[str, Difference]
    miscounted: int
    calm_s: float
    seconds: float


def compare(running: Cluster, media: Path, faults: int, seed: int, limit_s: float) -> list[Outcome]:
    """Does a job undisturbed, and disturbed as often as it takes until so many faults have happened.

    Raises `TimeoutError` if one does not end.
    """
    # The first use of the networks on a machine prepares them, which takes longer than many a shard.
    run_job(running, media / "0000.jpg", [], Random(seed), limit_s)
    calm, calm_s, _ = run_job(running, media, [], Random(seed), limit_s)
    expected = rows_of(running.database, calm)
    left, rng, outcomes = chosen(faults, seed), Random(seed), list[Outcome]()
    while left:
        job, seconds, injected = run_job(running, media, left, rng, limit_s)
        left = left[injected.total() :]
        outcomes.append(_outcome(running, job, injected, expected, calm_s, seconds))
        if len(outcomes) >= FRUITLESS and not any(outcome.faults for outcome in outcomes[-FRUITLESS:]):
            raise TimeoutError("the job is over before anything can happen to it: it takes more --seconds")
    return outcomes


def _outcome(
    running: Cluster, job: str, injected: Counter[str], expected: Results, calm_s: float, seconds: float
) -> Outcome:
    with reading(running.database) as session:
        shards = session.scalars(select(Shard).where(Shard.job_id == job)).all()
        state = job_status(session, job).state
    return Outcome(
        state=state,
        faults=injected,
        shards=len(shards),
        failed=sum(shard.state != "done" for shard in shards),
        extra_attempts=sum(shard.attempts - 1 for shard in shards),
        revived=running.revived,
        tables=differences(expected, rows_of(running.database, job)),
        miscounted=miscounted(running.database, job),
        calm_s=calm_s,
        seconds=seconds,
    )


def chosen(faults: int, seed: int) -> list[Fault]:
    """So many faults: every kind once, in some order, then every kind again."""
    rng = Random(seed)
    return [fault for _ in range(0, faults, len(FAULTS)) for fault in rng.sample(FAULTS, len(FAULTS))][:faults]


def run_job(
    running: Cluster, media: Path, faults: list[Fault], rng: Random, limit_s: float
) -> tuple[str, float, Counter[str]]:
    """Has a job done while faults happen; gives its id, its seconds, and how many of each kind there were.

    On a quick machine it may end before all of them have.
    """
    injected, began = Counter[str](), time.monotonic()
    job = submit(media, OPTIONS, running.environment)
    for fault in faults:
        # Some shards get done between two faults.
        enough = done(running.database, job) + rng.randint(1, 3)
        revived_until(running, partial(_has, running.database, job, enough), limit_s)
        time.sleep(rng.random())
        if ended(running.database, job):
            break
        print(
            f"{time.monotonic() - began:6.1f} s, {done(running.database, job)} shards done: {fault.__name__}",
            flush=True,
        )
        try:
            fault(running, rng)
        except JobEndedError:
            break
        injected[fault.__name__] += 1
    revived_until(running, lambda: ended(running.database, job), limit_s)
    return job, time.monotonic() - began, injected


def _has(database: Database, job: str, enough: int) -> bool:
    return ended(database, job) or done(database, job) >= enough


def done(database: Database, job: str) -> int:
    """How many shards of a job are done."""
    with reading(database) as session:
        return session.scalar(select(func.count()).where(Shard.job_id == job, Shard.state == "done")) or 0


def ended(database: Database, job: str) -> bool:
    """Whether nothing of a job is left to be done."""
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
    """What became of the rows of each table."""
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
    # What has no track has None, which is equal to itself alone.
    first, second = (np.array([rows[key] for key in same], np.float64) for rows in (before, after))
    tolerances = np.array(list(COLUMNS[table][1].values()))
    unequal = ~np.isclose(first, second, rtol=0, atol=tolerances, equal_nan=True)
    return int(unequal.any(axis=1).sum())


def miscounted(database: Database, job: str) -> int:
    """Counts that do not equal the rows there are: of each shard, and of the job as `status` says it."""
    wrong = 0
    with reading(database) as session:
        status = job_status(session, job)
        for table, counted in (("frames", status.frames), ("faces", status.faces)):
            rows = f"SELECT count(*) FROM {table} WHERE shard_id = shards.id"
            shards = f"SELECT {table}, ({rows}) FROM shards WHERE job_id = :job"
            counts = session.execute(text(shards), {"job": job}).all()
            wrong += sum(said != there for said, there in counts)
            wrong += counted != sum(there for _, there in counts)
    return wrong


def write_media(folder: Path, seconds: float, pictures: int) -> Path:
    """Two clips of `seconds` each and some pictures, from the two photographs that a package carries."""
    package = find_spec("ultralytics")
    assert package and package.origin
    photographs = [Path(package.origin).parent / "assets" / name for name in ("zidane.jpg", "bus.jpg")]
    folder.mkdir(parents=True, exist_ok=True)
    write_clip(folder / "there.mp4", photographs, seconds / 2)
    write_clip(folder / "back.mp4", photographs[::-1], seconds / 2)
    images = [np.asarray(cv2.imread(str(path)), np.uint8) for path in photographs]
    for number in range(pictures):
        image = images[number % 2]
        # Each is a little larger than the one before, so that no two give the same boxes.
        scale = 0.4 + 0.4 * number / pictures
        cv2.imwrite(str(folder / f"{number:04}.jpg"), cv2.resize(image, None, fx=scale, fy=scale))
    return folder


@click.command()
@click.option("--faults", default=30, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="Length of each of the two clips.")
@click.option("--pictures", default=150, show_default=True)
@click.option("--lease", default=5.0, show_default=True, help="FER_LEASE_SECONDS of the workers.")
@click.option("--seed", default=1, show_default=True)
@click.option("--keep-logs", type=click.Path(path_type=Path), help="Where the workers' logs are to stay.")
def main(faults: int, seconds: float, pictures: int, lease: float, seed: int, keep_logs: Path | None) -> None:
    """Prints what a job went through, and what it cost."""
    with TemporaryDirectory(prefix="fer-chaos-media-") as folder, cluster(lease) as running:
        try:
            outcomes = compare(running, write_media(Path(folder), seconds, pictures), faults, seed, 3600)
        finally:
            if keep_logs:
                shutil.copytree(running.folder, keep_logs, ignore=shutil.ignore_patterns("data", "*.sock"))
    for outcome in outcomes:
        _print(outcome)


def _print(outcome: Outcome) -> None:
    print(f"\njob                  {outcome.state}")
    print(f"faults               {outcome.faults.total()}")
    for name, count in sorted(outcome.faults.items()):
        print(f"  {name:18} {count}")
    print(f"shards               {outcome.shards}, of which failed {outcome.failed}")
    print(f"attempts beyond 1st  {outcome.extra_attempts}")
    print(f"workers that ended by themselves, and were started again: {outcome.revived}")
    for table, found in outcome.tables.items():
        print(f"{table:8}  {found.rows:6} rows, lost {found.lost}, twice {found.added}, different {found.different}")
    print(f"counts that are not the rows' {outcome.miscounted}")
    print(f"seconds              {outcome.seconds:.0f}, undisturbed {outcome.calm_s:.0f}")


if __name__ == "__main__":
    main()
