"""Scaling over workers, overhead of queue and database, small jobs, and memory by a video's length.

    python -m benchmarks.scale [workers] [overhead] [small] [rows] [memory]

All by default. Everything runs on this machine; single-threaded workers are pinned to one processor each.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy import select

from results.database import connect, reading, upgrade
from results.jobs import get_job
from results.read.status import job_status
from results.tables import Shard
from tests.support.cluster import end, postgresql, start
from workers.diagnosis import synthetic
from workers.queue.local_stack import local_redis, stack_folder

PYTHON = (sys.executable, "-P", "-m")
HERE = (sys.executable, "-m")
"""For modules of this folder, which are not installed."""

COPIES = 6
"""Copies of the clip in the job of the workers' benchmark."""

PICTURES = 300
FEW, JOBS = 20, 9
ROWS = 50_000
LIMIT_S = 280.0


def workers(folder: Path) -> None:
    """One job with one worker on one processor and with two on two."""
    from fer_model.samples import write_samples

    write_samples(folder / "media")
    clip = folder / "media" / "clip.mp4"
    copies = [clip.with_name(f"clip{n}.mp4") for n in range(COPIES)]
    for copy in copies:
        os.link(clip, copy)
    rates = []
    for count in (1, 2):
        with _stack(folder / f"workers{count}") as environment:
            commands = [("taskset", "-c", str(n), *PYTHON, "cli", "worker") for n in range(count)]
            with _running(commands, folder, environment):
                # Load and compile the networks before the measurement.
                _job(environment, [clip], name="warm up")
                _job(environment, [clip, *copies[:1]], name="warm up")
                rates.append(_job(environment, copies))
        print(f"{count} workers of one thread: {rates[-1]:.1f} frames a second", flush=True)
    print(f"two do {rates[1] / rates[0]:.2f} times as much as one")


def overhead(folder: Path) -> None:
    """The time from the end of one shard to the end of the next: claim, one tiny picture, rows, commit, messages."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(PICTURES):
        cv2.imwrite(str(pictures / f"{number:04d}.png"), np.full((32, 32, 3), number % 256, np.uint8))
    for name, database in (("SQLite", _sqlite), ("PostgreSQL", _postgresql)):
        place = folder / name
        place.mkdir()
        worker = [(*HERE, "benchmarks.idle")]
        with database(place) as url, _stack(place, url) as environment, _running(worker, folder, environment):
            _submit_one_by_one(environment, pictures)
            engine = connect(url)
            with reading(engine) as session:
                ends = sorted(end for end in session.scalars(select(Shard.heartbeat_at)) if end)
            engine.dispose()
        gaps = [1000 * (after - before).total_seconds() for before, after in pairwise(ends)]
        p50, p95 = statistics.median(gaps), statistics.quantiles(gaps, n=20)[-1]
        print(f"{name}: {len(ends)} shards of one picture, p50 {p50:.1f} ms, p95 {p95:.1f} ms each", flush=True)


def small(folder: Path) -> None:
    """Jobs of few photographs on PostgreSQL and a warm worker: from submission to the job's end.

    Once with the networks, once without, which leaves queue and database.
    """
    from fer_model.samples import write_samples

    write_samples(folder / "media")
    photographs = sorted((folder / "media").glob("*.jpg"))
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(FEW):
        os.link(photographs[number % len(photographs)], pictures / f"{number:02d}.jpg")
    for name, module in (("with the networks", "cli"), ("without", "benchmarks.idle")):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        worker = [(*HERE, module, *(["worker"] if module == "cli" else []))]
        with _postgresql(place) as url, _stack(place, url) as environment, _running(worker, folder, environment):
            _job(environment, [pictures], name="warm up")
            took = [_duration(environment, pictures) for _ in range(JOBS)]
        p50 = statistics.median(took)
        print(f"{FEW} photographs {name}: p50 {p50:.2f} s, at most {max(took):.2f} s, {JOBS} jobs", flush=True)


def _duration(environment: dict[str, str], pictures: Path) -> float:
    """Seconds from the row of a new job to its end."""
    command = [*PYTHON, "cli", "submit", str(pictures), "--wait"]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    engine = connect(environment["FER_DATABASE_URL"])
    with reading(engine) as session:
        job = get_job(session, run.stdout.split()[0])
    engine.dispose()
    assert job.finished_at is not None
    return (job.finished_at - job.created_at).total_seconds()


def rows(folder: Path) -> None:
    """Rows of frames and faces, from the claim of a shard to its commit."""
    for name, database in (("SQLite", _sqlite), ("PostgreSQL", _postgresql)):
        place = folder / f"rows-{name}"
        place.mkdir()
        with database(place) as url:
            engine = connect(url)
            synthetic.write(engine, 1000)
            rates = []
            for _ in range(3):
                began = time.perf_counter()
                rates.append(synthetic.write(engine, ROWS // 2) / (time.perf_counter() - began))
            engine.dispose()
        print(f"{name}: {statistics.median(rates):,.0f} rows a second, {ROWS:,} in one shard", flush=True)


def memory(folder: Path) -> None:
    """Peak memory of a process for a video of 1 minute, and for one of 60."""
    peaks = []
    for minutes in (1, 60):
        clip = folder / f"{minutes}.mp4"
        _encode(clip, minutes)
        run = subprocess.run([*HERE, "benchmarks.one_video", str(clip)], capture_output=True, text=True, check=True)
        frames, peak = run.stdout.split()
        peaks.append(float(peak))
        print(f"{minutes} min, {int(frames):,} frames: {peaks[-1]:.0f} MB at most", flush=True)
    print(f"difference {peaks[1] - peaks[0]:.0f} MB")


def _encode(path: Path, minutes: int) -> None:
    import av

    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (96, 160, 3), dtype=np.uint8) for _ in range(5)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "35"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(25 * 60 * minutes):
            frame = av.VideoFrame.from_ndarray(pictures[number // 50 % 5], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _submit_one_by_one(environment: dict[str, str], pictures: Path) -> None:
    """Submits in a separate process, with one shard per picture."""
    code = (
        "from workers.batch import planning; planning.PICTURES_PER_SHARD = 1\n"
        f"from cli.main import main; main(['submit', {str(pictures)!r}, '--wait'])"
    )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, timeout=LIMIT_S)


def _job(environment: dict[str, str], paths: list[Path], name: str = "measured") -> float:
    """Runs a job; returns frames per second from its first claim to its end."""
    command = [*PYTHON, "cli", "submit", *map(str, paths), "--name", name, "--wait", "--json"]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    engine = connect(environment["FER_DATABASE_URL"])
    with reading(engine) as session:
        status = job_status(session, json.loads(run.stdout.splitlines()[0])["job"])
    engine.dispose()
    assert status.state == "done", status
    return status.fps or 0.0


@contextmanager
def _stack(place: Path, url: str | None = None) -> Iterator[dict[str, str]]:
    """Starts Redis, and a new SQLite database by default; yields the environment of their users."""
    place.mkdir(exist_ok=True)
    url = url or f"sqlite:///{place / 'results.db'}"
    upgrade(url)
    with stack_folder() as sockets, local_redis(sockets) as broker:
        yield {**os.environ, "FER_DATABASE_URL": url, "FER_BROKER_URL": broker, "FER_DEVICE": "cpu"}


@contextmanager
def _running(commands: Sequence[Sequence[str]], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    processes = [start(command, folder / f"worker{n}.log", environment) for n, command in enumerate(commands)]
    try:
        yield
    finally:
        for process in processes:
            end(process)


@contextmanager
def _sqlite(place: Path) -> Iterator[str]:
    url = f"sqlite:///{place / 'results.db'}"
    upgrade(url)
    yield url


@contextmanager
def _postgresql(place: Path) -> Iterator[str]:
    with postgresql() as url:
        upgrade(url)
        yield url


PARTS: dict[str, Callable[[Path], None]] = {part.__name__: part for part in (workers, overhead, small, rows, memory)}

if __name__ == "__main__":
    for word in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as here:
            print(f"--- {word}", flush=True)
            PARTS[word](Path(here))
