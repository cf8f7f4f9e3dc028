"""A worker's figures for Prometheus: against a real worker, and where servers are away."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, update

from fer_model.engines import Engine
from fer_model.networks.manifest import ModelSet
from results.database import upgrade, writing
from results.jobs import cancel_job, create_job
from results.plans import MediaPlan, ShardPlan, add_plan
from results.tables import Shard
from tests.support.cluster import children
from tests.support.commands import fer_batch, succeed
from tests.support.databases import query
from tests.support.idle import IdleEngine
from tests.support.live_servers import free_port
from tests.support.stack import Stack, running_worker
from tests.support.watching import kill_at_work, output_of, scrape, until
from workers.batch.processing import process_shard
from workers.metrics import recording
from workers.queue.local_stack import local_redis, stack_folder
from workers.settings import Settings

AWAY = {"FER_BROKER_URL": "redis://127.0.0.1:1/0", "FER_DATABASE_URL": "postgresql://fer@127.0.0.1:1/fer"}


@dataclass(frozen=True)
class Watched:
    """A worker whose figures are served."""

    stack: Stack
    worker: subprocess.Popen[bytes]
    port: int

    def submit(self, *words: str) -> str:
        """A job's id."""
        return succeed("submit", *words, **self.stack.environment).stdout.strip()

    def state(self, job_id: str) -> str:
        """The job's state."""
        ((state,),) = query(self.stack.database_url, "SELECT state FROM jobs WHERE id = :id", id=job_id)
        return str(state)

    def kill_at_work(self) -> int:
        """Kills the pool process in the middle of a shard; returns its pid."""
        return kill_at_work(self.stack.database_url, self.worker)


@pytest.fixture(scope="module")
def watched(networks: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A Redis server, a database and a worker of their own: totals are of these tests alone.

    The networks have been prepared before, which takes minutes.
    """
    folder = tmp_path_factory.mktemp("watched")
    url, port = f"sqlite:///{folder / 'results.db'}", free_port()
    upgrade(url)
    with stack_folder() as sockets, local_redis(sockets) as broker_url:
        stack = Stack(url, broker_url)
        environment = {**stack.environment, "FER_METRICS_PORT": str(port), "TMPDIR": str(folder)}
        with running_worker(environment, folder / "worker.log") as worker:
            until(lambda: "fer_frames_total" in _scraped(port))
            yield Watched(stack, worker, port)
    # A worker that shut down in order leaves no files.
    assert not list(folder.glob("fer-batch-metrics-*"))


def _scraped(port: int) -> dict[str, float]:
    try:
        return scrape(port)
    except AssertionError:
        return {}


def test_figures_are_those_of_the_job(watched: Watched, samples: Path) -> None:
    before = scrape(watched.port)
    assert before["fer_frames_total"] == before['fer_shards_total{outcome="failed"}'] == 0
    job_id = watched.submit(str(samples / "clip.mp4"), "--every", "5", "--shard-seconds", "4")
    until(lambda: watched.state(job_id) == "done", 240)
    rows = "SELECT sum(frames), sum(faces), count(*) FROM shards WHERE job_id = :id"
    ((frames, faces, shards),) = query(watched.stack.database_url, rows, id=job_id)
    assert frames > 0 and faces > 0 and shards > 1
    after = scrape(watched.port)
    assert (after["fer_frames_total"], after["fer_faces_total"]) == (frames, faces)
    assert after['fer_shards_total{outcome="done"}'] == after["fer_shard_seconds_count"] == shards
    # Both segments analyse the frame at their seam, and it belongs to one.
    assert after["fer_batch_frames_sum"] >= frames
    assert after['fer_batch_frames_bucket{le="16.0"}'] == after["fer_batch_frames_count"] >= shards
    assert after["fer_shard_seconds_sum"] > 0
    assert after['fer_queue_depth{queue="batch"}'] == after['fer_queue_age_seconds{queue="batch"}'] == 0


def test_totals_outlive_the_process_that_counted(watched: Watched, samples: Path) -> None:
    before = scrape(watched.port)
    job_id = watched.submit(str(samples / "clip.mp4"), "--shard-seconds", "1")
    until(lambda: scrape(watched.port)["fer_frames_total"] > before["fer_frames_total"], 120)
    process = watched.kill_at_work()
    died = 'fer_shards_total{outcome="died"}'
    until(lambda: scrape(watched.port)[died] == before[died] + 1, 120)
    assert scrape(watched.port)["fer_frames_total"] > before["fer_frames_total"]
    until(lambda: watched.state(job_id) == "done", 400)
    ((frames, shards),) = query(
        watched.stack.database_url, "SELECT sum(frames), count(*) FROM shards WHERE job_id = :id", id=job_id
    )
    after = scrape(watched.port)
    done = 'fer_shards_total{outcome="done"}'
    assert after[done] == before[done] + shards
    assert after["fer_frames_total"] >= before["fer_frames_total"] + frames
    assert children(watched.worker) != [process]


def test_a_redis_that_hangs_costs_its_own_figures_alone(watched: Watched) -> None:
    redis = int(query_redis(watched.stack.broker_url, "INFO", "server")["process_id"])
    os.kill(redis, signal.SIGSTOP)
    try:
        began = time.monotonic()
        figures = scrape(watched.port)
        assert time.monotonic() - began < 8
    finally:
        os.kill(redis, signal.SIGCONT)
    assert 'fer_queue_depth{queue="batch"}' not in figures
    assert figures["fer_frames_total"] > 0 and 'fer_queue_age_seconds{queue="batch"}' in figures
    until(lambda: 'fer_queue_depth{queue="batch"}' in scrape(watched.port), 30)


def query_redis(broker_url: str, *command: str) -> Any:
    """A Redis server's answer."""
    import redis

    with redis.Redis(unix_socket_path=broker_url.removeprefix("redis+socket://"), decode_responses=True) as client:
        return client.execute_command(*command)


def test_depth_counts_all_priorities_here_and_in_flower(broker: str) -> None:
    program = """
import asyncio
from flower.utils.broker import Broker
from workers.metrics.serving import depths
from workers.queue.app import make_app
from workers.settings import Settings
app = make_app(Settings())
for priority in (None, 0, 3, 5, 9):
    app.send_task("nothing", (1,), queue="elsewhere", priority=priority)
flower = Broker(app.conf.broker_url, broker_options=app.conf.broker_transport_options)
print(depths(app), asyncio.run(flower.queues(["elsewhere"])))
"""
    depths = output_of(program, FER_BROKER_URL=broker, FER_QUEUES="elsewhere,empty")
    assert depths == "{'elsewhere': 5, 'empty': 0} [{'name': 'elsewhere', 'messages': 5}]"


def test_a_scrape_works_while_redis_and_the_database_are_away() -> None:
    port = free_port()
    program = f"""
from tests.support.watching import scrape
from workers.metrics import recording
from workers.metrics.serving import exported
from workers.queue.app import make_app
from workers.settings import Settings
with exported(make_app(Settings())):
    recording.batch_done(16)
    recording.frame_done(3)
    recording.shard_ended("failed", 2.0)
    print(sorted(name for name, value in scrape({port}).items() if value and "_bucket" not in name))
"""
    named = output_of(program, FER_METRICS_PORT=str(port), **AWAY)
    assert named == str(
        [
            "fer_batch_frames_count",
            "fer_batch_frames_sum",
            "fer_faces_total",
            "fer_frames_total",
            "fer_shard_seconds_count",
            "fer_shard_seconds_sum",
            'fer_shards_total{outcome="failed"}',
        ]
    )


def test_a_port_that_is_taken_is_said_in_one_sentence(broker: str, migrated_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = fer_batch("worker", "--metrics-port", str(port), "--broker", broker, "--db", migrated_url)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith(f"Error: The figures cannot be served at 127.0.0.1:{port}")


def test_without_a_port_nothing_is_imported_or_written() -> None:
    program = """
import os, sys
import workers.tasks
from workers.metrics import recording, serving
from workers.queue.app import make_app
from workers.settings import Settings
with serving.exported(make_app(Settings())):
    recording.batch_done(16)
    recording.frame_done(3)
    recording.shard_ended("done", 1.0)
    recording.gpu_memory()
print("prometheus_client" in sys.modules, serving.FOLDER in os.environ)
"""
    assert output_of(program) == "False False"


def _cancel(database: Database, job_id: str, number: int) -> None:
    with writing(database) as session:
        cancel_job(session, job_id)
    time.sleep(1.5)


def _take_over(database: Database, job_id: str, number: int) -> None:
    with writing(database) as session:
        session.execute(update(Shard).where(Shard.id == number).values(epoch=Shard.epoch + 1))
    time.sleep(1.5)


def _break(database: Database, job_id: str, number: int) -> NoReturn:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize(
    ("outcome", "meanwhile"),
    [("failed", lambda *_: None), ("cancelled", _cancel), ("lost", _take_over), ("given_back", _break)],
)
def test_each_outcome_is_counted_once(
    database: Database,
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcome: str,
    meanwhile: Callable[[Database, str, int], None],
) -> None:
    file = samples / "clip.mp4"
    if outcome == "failed":
        file = tmp_path / "text.mp4"
        file.write_text("this is no video")
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={})
        segment = ShardPlan(0, 0, 10, video=True, start_ms=0, end_ms=1000)
        add_plan(session, job.id, [MediaPlan(str(file), "video")], [segment])
        number = session.scalars(select(Shard.id)).one()
    counted: list[str] = []
    monkeypatch.setattr(recording, "shard_ended", lambda outcome, seconds: counted.append(outcome))

    def load(_: ModelSet) -> Any:
        meanwhile(database, job.id, number)
        return IdleEngine()

    process_shard(database, Settings(), number, "test", load)
    # There is none with this number.
    process_shard(database, Settings(), number + 1, "test", load)
    assert counted == [outcome]


def test_gpu_memory_is_asked_of_torch_where_it_works_already(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: dict[tuple[str, str], float] = {}

    def labels(device: str, kind: str) -> SimpleNamespace:
        return SimpleNamespace(set=lambda value: set_to.update({(device, kind): value}))

    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda device: (0, 30)[device],
        mem_get_info=lambda device: (100, 140),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(recording, "_series", SimpleNamespace(gpu=SimpleNamespace(labels=labels)))
    recording.gpu_memory()
    assert set_to == {("cuda:1", "worker"): 30, ("cuda:1", "used"): 40, ("cuda:1", "total"): 140}
    set_to.clear()
    cuda.is_initialized = lambda: False
    recording.gpu_memory()
    # As it is while another thread imports it.
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    recording.gpu_memory()
    assert not set_to
