"""Jobs, workers and their queue under faults, priorities and restarts. Leases are so long that a test which waits for
one to expire times out."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import redis

from results.database import connect
from tests.support.clips import noise_picture
from tests.support.commands import succeed
from tests.support.databases import query
from tests.support.freezing import everyone, freeze, freeze_at_work, thaw
from tests.support.stack import running_worker
from tests.support.watching import kill_at_work, until
from workers.queue.local_stack import local_redis, stack_folder

POISON = Path(__file__).parent / "poison"
WAIT_S = 400
"""Longer than any step takes on a busy machine; reached only on failure."""


@dataclass(frozen=True)
class Place:
    """A queue and a database for these tests alone."""

    folder: Path
    environment: dict[str, str]
    workers: ExitStack

    def worker(self, **environment: str) -> "subprocess.Popen[bytes]":
        """A worker that runs until the test ends."""
        started = running_worker(self.environment | environment, self.folder / "worker.log")
        return self.workers.enter_context(started)

    def submit(self, *words: str) -> str:
        """A job's id."""
        return succeed("submit", *words, **self.environment).stdout.strip()

    def ask(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return query(self.environment["FER_DATABASE_URL"], statement, **values)

    def ended(self, job: str) -> str:
        """The job's state once it has ended; prints the worker's log."""
        state = until(
            lambda: self.ask(f"SELECT state FROM jobs WHERE id = '{job}' AND finished_at IS NOT NULL"), WAIT_S
        )
        print((self.folder / "worker.log").read_text())
        return str(state[0][0])

    @contextmanager
    def frozen(self, worker: "subprocess.Popen[bytes]", at_work: bool = False) -> Iterator[None]:
        """Freezes the worker for the block; with `at_work`, while it holds a shard."""
        database = connect(self.environment["FER_DATABASE_URL"])
        pids = everyone(worker)
        until(lambda: freeze_at_work(database, worker) if at_work else freeze(database, pids), WAIT_S)
        database.dispose()
        yield
        with suppress(ProcessLookupError):
            thaw(pids)

    def until_working(self) -> None:
        """Returns when a shard is being worked on."""
        until(lambda: self.ask("SELECT 1 FROM shards WHERE state = 'running' AND frames > 0"), WAIT_S)

    def until_done(self, shards: int) -> None:
        """Returns when `shards` shards are done."""
        until(lambda: self.ask("SELECT 1 FROM shards WHERE state = 'done'")[shards - 1 :], WAIT_S)


@pytest.fixture
def place(tmp_path: Path, prepared: None) -> Iterator[Place]:
    with stack_folder() as folder, local_redis(folder) as broker, ExitStack() as workers:
        environment = {
            "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'results.db'}",
            "FER_BROKER_URL": broker,
            "FER_LEASE_SECONDS": "3600",
        }
        yield Place(tmp_path, environment, workers)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    cv2.imwrite(str(path), noise_picture(64, 48))
    return path


def many(picture: Path, folder: Path, count: int) -> str:
    """A folder with a picture under many names."""
    folder.mkdir()
    for number in range(count):
        os.link(picture, folder / f"{number}.jpg")
    return str(folder)


def test_a_small_job_does_not_wait_for_a_large_one(place: Place, picture: Path, tmp_path: Path) -> None:
    large = place.submit(many(picture, tmp_path / "large", 2_000))
    worker = place.worker()
    place.until_done(2)
    with place.frozen(worker):
        # However long this takes, nothing is done meanwhile.
        small = place.submit(many(picture, tmp_path / "small", 20))
    before = place.ask("SELECT count(*) FROM shards WHERE job_id = :job AND state = 'done'", job=large)[0][0]
    assert place.ended(small) == "done"
    # Of the large job's 40: the one at work, the two that waited, and what was done before the small one was queued.
    since = place.ask(
        "SELECT count(*) FROM shards WHERE job_id = :large AND state = 'done' AND heartbeat_at < "
        "(SELECT finished_at FROM jobs WHERE id = :small) AND heartbeat_at > "
        "(SELECT created_at FROM jobs WHERE id = :small)",
        large=large,
        small=small,
    )[0][0]
    assert before >= 2 and since <= 6
    assert place.ask("SELECT count(*) FROM shards WHERE queued_at IS NOT NULL AND job_id = :job", job=large)[0][0] < 20
    succeed("cancel", large, **place.environment)


def test_a_higher_priority_goes_first(place: Place, picture: Path, tmp_path: Path) -> None:
    jobs = [
        place.submit(many(picture, tmp_path / f"folder{priority}", 3), "--priority", str(priority))
        for priority in (0, 5, 9, 3)
    ]
    place.worker()
    assert {place.ended(job) for job in jobs} == {"done"}
    order = place.ask("SELECT priority FROM jobs ORDER BY started_at")
    assert order == [(9,), (5,), (3,), (0,)]


def test_what_kills_hangs_or_needs_too_much_memory_fails_alone(place: Place, samples: Path, tmp_path: Path) -> None:
    """Files that kill the worker's Python when it opens them; see the folder `poison`."""
    folder = tmp_path / "media"
    folder.mkdir()
    names = ["1.jpg", "2-kills.jpg", "3.jpg", "4-hangs.jpg", "5.jpg", "6-swells.jpg", "7.jpg"]
    for name in names:
        os.link(samples / "zidane.jpg", folder / name)
    os.link(samples / "clip.mp4", folder / "8.mp4")
    job = place.submit(str(folder), "--every", "20")
    # Enough for the harmless files; one of the files that hang is waited for.
    place.worker(PYTHONPATH=str(POISON), FER_SHARD_TIMEOUT_SECONDS="40")
    assert place.ended(job) == "done"
    errors = {Path(uri).name: error for uri, error in place.ask("SELECT uri, error FROM media WHERE error IS NOT NULL")}
    assert set(errors) == {"2-kills.jpg", "4-hangs.jpg", "6-swells.jpg"}
    assert "tried 3 times, without success: the worker process died (signal 9 (SIGKILL))" in errors["2-kills.jpg"]
    assert "tried 3 times, without success: took longer than a worker may spend" in errors["4-hangs.jpg"]
    assert "not enough memory" in errors["6-swells.jpg"]
    assert place.ask("SELECT max(attempts) FROM shards") == [(3,)]
    assert place.ask("SELECT count(*), count(DISTINCT media_id) FROM frames") == [(4 + 10, 5)]
    assert place.ask("SELECT sum(frames), sum(faces) FROM shards WHERE state = 'done'") == place.ask(
        "SELECT (SELECT count(*) FROM frames), (SELECT count(*) FROM faces)"
    )
    assert "attempt" not in succeed("status", job, **place.environment).stdout


def test_retry_queues_only_what_failed(place: Place, samples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        os.link(samples / "zidane.jpg", folder / name)
    (folder / "torn.jpg").write_bytes((samples / "bus.jpg").read_bytes()[:20_000])
    (folder / "torn.mp4").write_bytes((samples / "clip.mp4").read_bytes()[:20_000])
    place.worker()
    job = place.submit(str(folder), "--every", "20")
    assert place.ended(job) == "done"
    done = place.ask("SELECT media_id, shard_id FROM frames ORDER BY 1")
    assert place.ask("SELECT error FROM jobs") == [("2 of 4 files failed",)]
    for name in ("bus.jpg", "clip.mp4"):
        (folder / f"torn{Path(name).suffix}").write_bytes((samples / name).read_bytes())
    assert succeed("retry", job, **place.environment).stdout.strip() == f"{job}: 2 shards are queued again"
    assert place.ended(job) == "done"
    assert place.ask("SELECT error FROM jobs") == [(None,)]
    assert place.ask("SELECT count(*), count(DISTINCT media_id) FROM frames") == [(3 + 10, 4)]
    assert set(done) < set(place.ask("SELECT media_id, shard_id FROM frames")), "what was done was not done again"
    assert succeed("retry", job, **place.environment).stdout.strip() == f"{job}: nothing of it has failed"


def test_a_killed_process_costs_no_lease(place: Place, samples: Path) -> None:
    worker = place.worker()
    job = place.submit(str(samples), "--shard-seconds", "4")
    kill_at_work(place.environment["FER_DATABASE_URL"], worker, WAIT_S)
    assert place.ended(job) == "done"
    assert place.ask("SELECT max(attempts) FROM shards") == [(2,)]
    assert place.ask("SELECT count(*) FROM frames") == [(202,)]


def test_a_worker_that_is_asked_to_stop_gives_its_work_to_another(place: Place, samples: Path) -> None:
    """A rolling restart: no attempt is counted twice, and no lease has to expire."""
    job = place.submit(str(samples), "--shard-seconds", "4")
    for _ in range(2):
        worker = place.worker(FER_GRACE_SECONDS="0")
        place.until_working()
        worker.terminate()
        assert worker.wait(60) == 0
        assert place.ask("SELECT count(*) FROM shards WHERE state = 'running'") == [(0,)]
    place.worker()
    assert place.ended(job) == "done"
    assert place.ask("SELECT max(attempts) FROM shards") == [(1,)]
    assert place.ask("SELECT count(*) FROM frames") == [(202,)]


def test_all_workers_are_restarted_in_the_middle_of_their_shards_and_none_is_begun_again(
    place: Place, samples: Path
) -> None:
    """A rolling restart: each worker finishes its shard, and the other does what is queued meanwhile."""
    job = place.submit(str(samples), "--shard-seconds", "1")
    first, second = (place.worker(FER_GRACE_SECONDS="300") for _ in range(2))
    with place.frozen(first, at_work=True), place.frozen(second, at_work=True):
        for worker in (first, second):
            worker.terminate()
            os.killpg(worker.pid, signal.SIGCONT)
            assert worker.wait(WAIT_S) == 0
            place.worker()
    assert place.ended(job) == "done"
    assert place.ask("SELECT min(attempts), max(attempts), max(epoch) FROM shards") == [(1, 1, 1)]
    assert place.ask("SELECT count(*) FROM frames") == [(202,)]


def test_a_job_is_deleted_while_it_is_worked_on(place: Place, samples: Path) -> None:
    place.worker()
    job = place.submit(str(samples), "--shard-seconds", "1")
    place.until_done(1)
    assert succeed("delete", job, **place.environment).stdout.strip() == f"{job}: deleted"
    other = place.submit(str(samples / "zidane.jpg"))
    assert place.ended(other) == "done"
    for table in ("frames", "faces", "tracks", "face_scores"):
        assert place.ask(
            f"SELECT count(*) FROM {table} JOIN media ON media.id = media_id WHERE job_id <> '{other}'"
        ) == [(0,)]
    assert place.ask("SELECT count(*) FROM shards") == [(1,)] and place.ask("SELECT id FROM jobs") == [(other,)]


def test_resume_queues_what_redis_has_forgotten(place: Place, samples: Path) -> None:
    job = place.submit(str(samples), "--every", "20")
    nothing = "There is nothing to resume: all that is not finished is queued or being worked on."
    assert succeed("resume", **place.environment).stdout.strip() == nothing
    with redis.Redis(unix_socket_path=place.environment["FER_BROKER_URL"].removeprefix("redis+socket://")) as server:
        server.flushall()
    assert succeed("resume", **place.environment).stdout.strip() == f"{job}: 2 messages sent"
    place.worker()
    assert place.ended(job) == "done"


def test_resume_takes_over_from_a_run_that_was_killed(place: Place, samples: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-m", "cli", "run", str(samples)]
    environment = place.environment | {"FER_LEASE_SECONDS": "2"}
    succeed("db", "upgrade", **environment)
    with subprocess.Popen(words, env={**os.environ, **environment}, stdout=subprocess.DEVNULL) as run:
        place.until_working()
        run.kill()
    ((job,),) = place.ask("SELECT id FROM jobs")
    place.worker(FER_LEASE_SECONDS="2")
    # The death of `run` stops its worker, which keeps its shard until it has requeued or finished it.
    until(lambda: f"{job}: " in succeed("resume", **environment).stdout, WAIT_S)
    assert place.ask("SELECT queue FROM jobs") == [("batch",)], "no message went to a queue without a worker"
    assert place.ended(job) == "done"
    assert place.ask("SELECT count(*) FROM frames") == [(202,)]
