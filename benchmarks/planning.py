"""Time and memory to submit a folder of many pictures, and the time of a small job behind it.

    python -m benchmarks.planning --pictures 100000

With a real Redis, on SQLite and on PostgreSQL. Seconds and memory are those of the whole command `fer-batch submit`.
Then 20 pictures are submitted behind the large job while a worker processes it.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import cv2
import numpy as np

from results.database import connect, upgrade
from tests.support.cluster import postgresql, submit, wait_for
from tests.support.comparing import done, ended
from workers.queue.local_stack import local_redis, local_worker, stack_folder

SMALL = 20
EACH = 10_000
"""Names (links) per file, each file in its own folder: the benchmark measures listing, not reading."""


def write_pictures(folder: Path, count: int) -> Path:
    """Writes `count` pictures of 64x48 pixels into a folder."""
    rng = np.random.default_rng(0)
    for first in range(0, count, EACH):
        below = folder / f"{first:08}"
        below.mkdir(parents=True)
        picture = below / f"{first:08}.jpg"
        cv2.imwrite(str(picture), rng.integers(0, 256, (48, 64, 3), np.uint8))
        for number in range(first + 1, min(first + EACH, count)):
            os.link(picture, below / f"{number:08}.jpg")
    return folder


def measured(media: Path, environment: dict[str, str]) -> tuple[str, float, float]:
    """Submits a folder; returns the job's id, seconds, and the peak memory in MB."""
    began = time.monotonic()
    command = [sys.executable, "-P", "-m", "cli", "submit", str(media)]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        job = process.stdout.read().strip()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return job, time.monotonic() - began, usage.ru_maxrss / 1000


@contextmanager
def sqlite() -> Iterator[str]:
    """The URL of a new file."""
    with tempfile.TemporaryDirectory(prefix="fer-planning-") as folder:
        yield f"sqlite:///{folder}/results.db"


def measure(name: str, url: str, large: Path, small: Path) -> None:
    """Prints the figures of one database."""
    upgrade(url)
    database = connect(url)
    with stack_folder() as folder, local_redis(folder) as broker:
        environment = {"FER_DATABASE_URL": url, "FER_BROKER_URL": broker, "FER_DEVICE": "cpu"}
        with local_worker(environment, folder / "worker.log"):
            # The first use on a machine converts the networks.
            warm = submit(small, (), environment)
            wait_for(lambda: ended(database, warm), "the first job", 600)
            job, seconds, megabytes = measured(large, environment)
            print(f"{name:10}  submitted in {seconds:5.1f} s, {megabytes:4.0f} MB at most", end="", flush=True)
            wait_for(lambda: done(database, job) >= 2, "the large job", 120)
            began, before = time.monotonic(), done(database, job)
            behind = submit(small, (), environment)
            wait_for(lambda: ended(database, behind), "the small job", 600)
            took, meanwhile = time.monotonic() - began, done(database, job) - before
            print(f"; {SMALL} pictures behind it: {took:.1f} s, in which {meanwhile} of its shards were done")
    database.dispose()


@click.command()
@click.option("--pictures", default=100_000, show_default=True)
def main(pictures: int) -> None:
    """Prints seconds and memory of `submit`, and the seconds of a small job behind it."""
    with tempfile.TemporaryDirectory(prefix="fer-planning-media-") as folder:
        large = write_pictures(Path(folder) / "large", pictures)
        small = write_pictures(Path(folder) / "small", SMALL)
        with sqlite() as url:
            measure("SQLite", url, large, small)
        with postgresql() as url:
            measure("PostgreSQL", url, large, small)


if __name__ == "__main__":
    main()
