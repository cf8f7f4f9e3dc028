"""Delay of a cancelled job's end, and the cost of a rolling restart of all workers.

    python -m benchmarks.stopping --seconds 60 --cancels 20

Two workers, a real Redis and a real PostgreSQL. The lease is a minute, so a wait for it would be visible.
"""

import signal
import statistics
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import click
from sqlalchemy import func, select

from results.database import reading, writing
from results.jobs import cancel_job
from results.tables import Shard
from tests.support.chaos import OPTIONS, run_job
from tests.support.cluster import WORKERS, Cluster, cluster, end, start_worker, submit, wait_for
from tests.support.comparing import done, ended
from tests.support.freezing import held
from tests.support.media import write_media

LEASE_S = 60.0


def cancelled(running: Cluster, media: Path, rng: Random) -> float:
    """Cancels a job while a worker processes one of its shards; returns the seconds until that worker stops."""
    job = submit(media, OPTIONS, running.environment)
    name = rng.choice(WORKERS)
    wait_for(lambda: done(running.database, job) >= 1, "the job goes on")
    time.sleep(rng.random())
    shard_id, _ = wait_for(lambda: held(running.database, running.workers[name]), "a worker at work")
    log, line = running.folder / f"{name}.log", f"shard {shard_id} ends: "
    before = log.read_text().count(line)
    with writing(running.database) as session:
        cancel_job(session, job)
    began = time.monotonic()
    while log.read_text().count(line) == before:
        if time.monotonic() - began > LEASE_S or not held_or_cancelled(running, shard_id):
            return float("nan")
        time.sleep(0.005)
    return time.monotonic() - began


def held_or_cancelled(running: Cluster, shard_id: int) -> bool:
    """False for a shard that finished just before its job was cancelled, so that no worker had to stop."""
    with reading(running.database) as session:
        return session.scalar(select(Shard.state).where(Shard.id == shard_id)) == "cancelled"


def rolled(running: Cluster, media: Path) -> tuple[float, list[float], int]:
    """Restarts every worker once during a job; returns the job's seconds, each worker's seconds of absence, and the
    number of shards that were started more than once."""
    began = time.monotonic()
    job = submit(media, OPTIONS, running.environment)
    away = []
    for name in WORKERS:
        enough = done(running.database, job) + 3
        wait_for(lambda enough=enough: done(running.database, job) >= enough, "the job goes on")  # type: ignore[misc]
        away.append(restarted(running, name, job))
    wait_for(lambda: ended(running.database, job), "the end of the job", 600)
    seconds = time.monotonic() - began
    with reading(running.database) as session:
        again = session.scalar(select(func.count()).where(Shard.job_id == job, Shard.epoch > 1))
    return seconds, away, again or 0


def restarted(running: Cluster, name: str, job: str) -> float:
    """Stops a worker and starts it again; returns the seconds from its end to its first shard.

    Raises `TimeoutError` if the other worker ends the job first.
    """
    process = running.workers[name]
    process.send_signal(signal.SIGTERM)
    process.wait()
    stopped = time.monotonic()
    end(process)
    start_worker(running, name)
    database = running.database
    at_work = wait_for(lambda: held(database, running.workers[name]) or ended(database, job), "back at work")
    if at_work is True:
        raise TimeoutError("the job was over before the worker was back: it takes more --seconds")
    return time.monotonic() - stopped


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="Length of each of the two clips.")
@click.option("--cancels", default=20, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(seconds: float, cancels: int, seed: int) -> None:
    """Prints the delay of `cancel`, and a job's seconds with and without a rolling restart."""
    rng = Random(seed)
    with TemporaryDirectory(prefix="fer-stopping-media-") as folder, cluster(LEASE_S) as running:
        media = write_media(Path(folder), seconds, 20)
        # The first use on a machine converts the networks, and both workers must have loaded them.
        run_job(running, media / "0000.jpg", [], rng, 600)
        _, calm_s, _ = run_job(running, media, [], rng, 600)
        _, calm_s, _ = run_job(running, media, [], rng, 600)
        print(f"undisturbed           {calm_s:.1f} s", flush=True)
        rolled_s, away, again = rolled(running, media)
        gone = " and ".join(f"{each:.1f}" for each in away)
        print(f"both workers restarted {rolled_s:.1f} s; away for {gone} s; shards begun again: {again}", flush=True)
        took = sorted(each for each in (cancelled(running, media, rng) for _ in range(cancels)) if each == each)
        print(f"cancelled {len(took)} times: {statistics.median(took):.2f} s (median), {took[-1]:.2f} s (longest)")


if __name__ == "__main__":
    main()
