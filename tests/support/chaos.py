"""Compares jobs during which processes and servers are killed with an undisturbed job on the same media."""

import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from sqlalchemy import Engine as Database
from sqlalchemy import select

from results.database import reading
from results.read.status import job_status
from results.tables import Shard
from tests.support.cluster import Cluster, submit
from tests.support.comparing import Difference, Results, differences, done, ended, miscounted, rows_of
from tests.support.faults import FAULTS, Fault, JobEndedError, revived_until

OPTIONS = ("--shard-seconds", "1", "--every", "5")

FRUITLESS = 4
"""Consecutive jobs that ended before any fault happened: one may be due to other load, more are an error."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a disturbed job. `revived` counts the workers that ended without being killed, since the start."""

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
    """Runs a job undisturbed, then disturbed jobs until `faults` faults have happened.

    Raises `TimeoutError` if a job does not end.
    """
    running.media = media
    # The first use of the networks on a machine compiles them, which takes longer than a shard.
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
    """`faults` faults: every kind once, in random order, then every kind again."""
    rng = Random(seed)
    return [fault for _ in range(0, faults, len(FAULTS)) for fault in rng.sample(FAULTS, len(FAULTS))][:faults]


def run_job(
    running: Cluster, media: Path, faults: list[Fault], rng: Random, limit_s: float
) -> tuple[str, float, Counter[str]]:
    """Runs a job with faults; returns its id, its seconds, and the number of faults by kind.

    On a fast machine the job may end before all faults have happened.
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
