"""Faults of a cluster at work: each is one function, which returns when everything runs again."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from sqlalchemy import Engine as Database
from sqlalchemy import func, select, text

from results.database import reading, writing
from results.jobs import UNFINISHED
from results.tables import Job, Shard, ShardAttempt
from tests.support.cluster import (
    BACK_S,
    START_S,
    WORKERS,
    Cluster,
    children,
    end,
    pg_ctl,
    revive,
    start_redis,
    start_worker,
    wait_for,
)
from tests.support.commands import succeed
from tests.support.freezing import freeze_at_work, held


class JobEndedError(Exception):
    """The job ended before the fault could happen to it."""


def kill_worker(running: Cluster, rng: Random) -> None:
    """A machine that fails: the worker and its child at once."""
    name = victim(running, rng)
    end(running.workers[name])
    time.sleep(BACK_S)
    start_worker(running, name)


def kill_parent(running: Cluster, rng: Random) -> None:
    """The worker without its child, which may be at work."""
    name = victim(running, rng)
    process = running.workers[name]
    process.kill()
    process.wait()
    time.sleep(BACK_S)
    start_worker(running, name)
    # A child that outlives its worker runs beside the new one for a while.
    time.sleep(BACK_S)
    end(process)


def kill_child(running: Cluster, rng: Random) -> None:
    """A damaged file, or too little memory: the child is killed."""
    name = victim(running, rng)
    revived_until(running, lambda: _kill(children(running.workers[name])), START_S)


def _kill(pids: list[int]) -> bool:
    # A child that has just ended by itself is replaced soon.
    with suppress(ProcessLookupError):
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def freeze_worker(running: Cluster, rng: Random) -> None:
    """A worker that hangs or is cut off until another has its shard, and then resumes: the late twin."""
    while not _lost_its_shard(running, victim(running, rng)):
        pass


def _lost_its_shard(running: Cluster, name: str) -> bool:
    """Whether another worker took the frozen worker's shard; False if its rows were already sent."""
    found: list[tuple[int, int]] = []

    def frozen() -> bool:
        if at_work := freeze_at_work(running.database, running.workers[name]):
            found.append(at_work)
        return bool(found) or not unfinished(running.database)

    revived_until(running, frozen, START_S)
    if not found:
        raise JobEndedError
    shard_id, epoch = found[0]
    try:
        time.sleep(running.lease_s)
        revived_until(running, lambda: shard_of(running.database, shard_id) != (epoch, "running"), START_S)
    finally:
        os.killpg(running.workers[name].pid, signal.SIGCONT)
    return shard_of(running.database, shard_id)[0] != epoch


def kill_redis(running: Cluster, rng: Random) -> None:
    """Redis restarts from its append-only file: at most a second of writes is missing."""
    end(running.redis)
    time.sleep(BACK_S)
    running.redis = start_redis(running.folder)


def wipe_redis(running: Cluster, rng: Random) -> None:
    """Redis restarts empty."""
    end(running.redis)
    for path in running.folder.glob("appendonly*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    time.sleep(BACK_S)
    running.redis = start_redis(running.folder)


def restart_postgresql(running: Cluster, rng: Random) -> None:
    """PostgreSQL restarts as for an update: its sessions end."""
    pg_ctl(running.server, "restart", "-m", "fast")


def crash_postgresql(running: Cluster, rng: Random) -> None:
    """PostgreSQL is killed, as by a power failure, and recovers from its log."""
    pg_ctl(running.server, "restart", "-m", "immediate")


def hide_media(running: Cluster, rng: Random) -> None:
    """The share goes away on all hosts, as a file server does that restarts, until files were missed."""
    assert running.media is not None
    before = missed(running.database)
    away = running.media.rename(running.media.with_name("away"))
    try:
        wait_for_harm(running, lambda: missed(running.database) > before)
    finally:
        away.rename(running.media)


def fill_disk(running: Cluster, rng: Random) -> None:
    """The server finds no room for rows, until a shard has failed; then there is room, and a user retries the job."""
    with writing(running.database) as session:
        job = session.scalars(select(Job.id).order_by(Job.id.desc()).limit(1)).one()
        session.execute(text(FULL))
        session.execute(text("CREATE TRIGGER full_disk BEFORE INSERT ON frames EXECUTE FUNCTION full_disk()"))
    try:
        wait_for_harm(running, lambda: failed(running.database, job) > 0)
    finally:
        with writing(running.database) as session:
            session.execute(text("DROP TRIGGER full_disk ON frames"))
        # Shards that failed meanwhile, too.
        time.sleep(1)
        succeed("retry", job, **running.environment)


FULL = """
CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$
"""


def wait_for_harm(running: Cluster, is_done: Callable[[], bool]) -> None:
    """Returns when a fault has done harm; raises `JobEndedError` if the job ended before."""
    revived_until(running, lambda: is_done() or not unfinished(running.database), START_S)
    if not is_done():
        raise JobEndedError


def missed(database: Database) -> int:
    """How often a worker missed a file."""
    with reading(database) as session:
        return session.scalar(select(func.count()).where(ShardAttempt.error.contains("is missing on"))) or 0


def failed(database: Database, job: str) -> int:
    """How many shards of a job have failed."""
    with reading(database) as session:
        return session.scalar(select(func.count()).where(Shard.job_id == job, Shard.state == "failed")) or 0


def victim(running: Cluster, rng: Random) -> str:
    """A random worker, once it holds no shard that was hit by a fault before.

    A shard that kills its process three times fails, as it should, and three faults could hit one by chance.
    """
    name = rng.choice(WORKERS)

    def spared() -> bool:
        at_work = held(running.database, running.workers[name])
        return at_work is None or at_work[1] == 1

    revived_until(running, spared, START_S)
    return name


Fault = Callable[[Cluster, Random], None]
FAULTS: tuple[Fault, ...] = (
    kill_worker,
    kill_child,
    kill_parent,
    freeze_worker,
    kill_redis,
    wipe_redis,
    restart_postgresql,
    crash_postgresql,
    hide_media,
    fill_disk,
)


def revived_until(running: Cluster, look: Callable[[], bool], limit_s: float) -> None:
    """Returns when `look` returns true; restarts what has ended by itself meanwhile."""

    def revived() -> bool:
        revive(running)
        return look()

    wait_for(revived, "the job goes on", limit_s)


def unfinished(database: Database) -> bool:
    """Whether there is an unfinished job."""
    with reading(database) as session:
        return session.scalar(select(Job.id).where(Job.state.in_(UNFINISHED)).limit(1)) is not None


def shard_of(database: Database, shard_id: int) -> tuple[int, str]:
    """How often a shard was claimed, and its state."""
    with reading(database) as session:
        epoch, state = session.execute(select(Shard.epoch, Shard.state).where(Shard.id == shard_id)).one()
    return epoch, state
