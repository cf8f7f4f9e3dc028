"""Two workers for streams, a camera behind a password, and what may happen to a worker."""

import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from sqlalchemy import Engine as Database

from results.database import connect, upgrade, writing
from results.streams import Login, start_stream, stop_stream
from tests.support.cluster import children, end, start_redis, wait_for
from tests.support.live_servers import LiveServer, rtsp_server, write_live_clip
from tests.support.on_air import (
    NAME,
    add,
    check_rows,
    events_of,
    frames_of,
    pid_of,
    shard_of,
    start_stream_worker,
    stream_of,
    tracks_by_time,
)

TAKEN_OVER_S = 15.0
LOAD_S = 10.0
"""What a machine that is busy with other tests may add."""

USER, PASSWORD = "viewer", "s3cret@/:"


@dataclass
class Station:
    """Redis, a database and two workers for streams."""

    folder: Path
    database: Database
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "FER_BROKER_URL": f"redis+socket://{self.folder}/redis.sock",
            "FER_DATABASE_URL": self.database.url.render_as_string(hide_password=False),
        }

    def start(self, name: str) -> None:
        self.workers[name] = start_stream_worker(name, self.folder / f"{name}.log", self.environment)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def holder(self) -> str:
        """The worker that has the stream."""
        pid = pid_of(shard_of(self.database).worker)
        return next(name for name, process in self.workers.items() if pid in children(process))

    def is_live(self, epoch: int) -> bool:
        """Whether the worker that claimed the stream for the `epoch`-th time writes rows."""
        shard = shard_of(self.database)
        return shard.epoch >= epoch and shard.state == "running" and stream_of(self.database).state == "live"


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    clip = write_live_clip(tmp_path_factory.mktemp("camera") / "clip.mp4")
    with rtsp_server(clip, USER, PASSWORD) as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def station(
    request: pytest.FixtureRequest, prepared: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Station]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'results.db'}"
    else:
        url = str(request.getfixturevalue("postgresql")())
    upgrade(url)
    with ExitStack() as stack:
        # Sockets need short paths.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fer-streams-", dir="/tmp")))
        stack.callback(end, start_redis(folder))
        running = Station(folder, connect(url))
        for name in ("a", "b"):
            running.start(name)
        yield running
        for name, process in running.workers.items():
            print(f"--- worker {name} on {request.param} ---\n{running.log(name)}")
            end(process)
        running.database.dispose()


def watch(station: Station) -> int:
    """Waits until the stream is live; its epoch."""
    wait_for(lambda: station.is_live(1), "the stream is live", 120)
    return shard_of(station.database).epoch


Fault = Callable[[Station, str], None]


def kill_child(station: Station, name: str) -> None:
    (child,) = children(station.workers[name])
    os.kill(child, signal.SIGKILL)


def crash_child(station: Station, name: str) -> None:
    (child,) = children(station.workers[name])
    os.kill(child, signal.SIGSEGV)


def kill_worker(station: Station, name: str) -> None:
    end(station.workers[name])


def freeze_child(station: Station, name: str) -> None:
    (child,) = children(station.workers[name])
    freeze_between_appends(station, lambda sent: os.kill(child, sent))


def freeze_worker(station: Station, name: str) -> None:
    freeze_between_appends(station, lambda sent: os.killpg(station.workers[name].pid, sent))


def freeze_between_appends(station: Station, send: Callable[[signal.Signals], None]) -> None:
    """SQLite has no server that takes a lock away: frozen inside a transaction, a process would stop everyone."""
    while True:
        send(signal.SIGSTOP)
        if station.database.dialect.name != "sqlite" or not is_locked(station.database):
            return
        send(signal.SIGCONT)
        time.sleep(0.1)


def is_locked(database: Database) -> bool:
    probe = sqlite3.connect(str(database.url.database), timeout=1.0, isolation_level=None)
    try:
        probe.execute("BEGIN IMMEDIATE")
        probe.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        probe.close()
    return False


def test_a_camera_with_a_password_is_on_air(station: Station, camera: LiveServer) -> None:
    add(station.database, camera.url, login=Login(USER, PASSWORD), fps=5.0)
    wait_for(lambda: len(frames_of(station.database)) > 20, "rows")
    wait_for(lambda: stream_of(station.database).clock == "rtcp", "the camera's own clock is known")
    *_, (_, _, newest_ms, _) = frames_of(station.database)
    assert abs(time.time() * 1000 - newest_ms) < 5000
    assert any(faces for *_, faces in frames_of(station.database))
    check_rows(station.database)
    server = redis.Redis(unix_socket_path=str(station.folder / "redis.sock"))
    wait_for(lambda: server.xlen(f"fer:live:{NAME}") > 2, "live summaries")
    told = [
        station.log("a"),
        station.log("b"),
        str(server.xrange(f"fer:live:{NAME}")),
        str(events_of(station.database)),
    ]
    assert not any(PASSWORD in text or quote(PASSWORD, safe="") in text for text in told)
    server.close()


@pytest.mark.parametrize("fault", [kill_child, crash_child, kill_worker, freeze_child, freeze_worker])
def test_another_process_takes_a_stream_over(station: Station, camera: LiveServer, fault: Fault) -> None:
    before = watch(station)
    name, gone = station.holder(), shard_of(station.database).worker
    fault(station, name)
    since = time.time()
    wait_for(lambda: shard_of(station.database).epoch > before, "the stream is taken over", 60)
    assert time.time() - since < TAKEN_OVER_S + LOAD_S
    wait_for(lambda: station.is_live(before + 1), "it is live again")
    count = len(frames_of(station.database))
    if fault is kill_worker:
        station.start(name)
    else:
        os.killpg(station.workers[name].pid, signal.SIGCONT)
    if fault in (freeze_child, freeze_worker):
        wait_for(lambda: "belongs to another worker now" in station.log(name), "the late worker learns of it")
    wait_for(lambda: len(frames_of(station.database)) > count + 10, "rows of its successor")
    assert shard_of(station.database).worker != gone
    assert ("taken_over", f"{shard_of(station.database).worker} took the stream over from {gone}.") in events_of(
        station.database
    )
    check_rows(station.database)


def test_a_worker_that_stops_gives_its_stream_away_at_once(station: Station, camera: LiveServer) -> None:
    before = watch(station)
    name = station.holder()
    station.workers[name].terminate()
    wait_for(lambda: station.is_live(before + 1), "it is taken over", TAKEN_OVER_S + LOAD_S)
    assert station.workers[name].wait(30) == 0
    shard = shard_of(station.database)
    assert (shard.epoch, shard.attempts) == (before + 1, 1), "not counted"
    station.start(name)
    check_rows(station.database)


@pytest.mark.parametrize("state", ["live", "frozen", "gone"])
def test_a_stream_stops_within_seconds_in_any_state(station: Station, camera: LiveServer, state: str) -> None:
    watch(station)
    name = station.holder()
    if state == "frozen":
        camera.freeze()
    elif state == "gone":
        camera.kill()
    if state != "live":
        wait_for(lambda: stream_of(station.database).state == "reconnecting", "the loss is noticed")
    told = station.log(name).count(f"stream {NAME}: ends here")
    with writing(station.database) as session:
        assert stop_stream(session, NAME)
    wait_for(lambda: station.log(name).count(f"stream {NAME}: ends here") > told, "it has ended", 2 + LOAD_S)
    check_rows(station.database)
    count = len(frames_of(station.database))
    if state == "frozen":
        camera.thaw()
    elif state == "gone":
        camera.start()
    with writing(station.database) as session:
        assert start_stream(session, NAME)
    wait_for(lambda: len(frames_of(station.database)) > count, "on again")


def test_tracks_were_numbered_upwards_all_the_time(station: Station, camera: LiveServer) -> None:
    check_rows(station.database)
    tracks = tracks_by_time(station.database)
    assert tracks == list(range(len(tracks)))
    assert len(tracks) > 5
