"""Two workers for streams, a camera behind a password, and what may happen to a worker."""

import os
import signal
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
from tests.support.freezing import everyone, freeze
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
    unwritten_tracks,
)
from workers.streams.live import KEY

TAKEN_OVER_S, STOPPED_S = 15.0, 2.0
LOAD_S = 10.0
"""What a machine that is busy with other tests may add."""

USER, PASSWORD = "viewer", "s3cret@/:"

DOOR = "door"
"""A stream of a camera. Takeovers are tried with another source: of a frozen worker the camera's server keeps a
connection that takes nothing, and that stops it for all others."""


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
        # A new log, which says what the new worker is ready for.
        (self.folder / f"{name}.log").unlink(missing_ok=True)
        self.workers[name] = start_stream_worker(name, self.folder / f"{name}.log", self.environment)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def is_ready(self, name: str) -> bool:
        """Whether the newest process of the worker has loaded its networks."""
        log = self.log(name)
        return log.count("the detector does") == log.count("calling self.run()") > 0

    def holder(self, stream: str) -> str:
        """The worker that has the stream."""
        pid = pid_of(shard_of(self.database, stream).worker)
        return next(name for name, process in self.workers.items() if pid in children(process))

    def is_live(self, stream: str, epoch: int = 1) -> bool:
        """Whether the worker that claimed the stream for the `epoch`-th time writes rows."""
        shard = shard_of(self.database, stream)
        is_held = shard.epoch >= epoch and shard.state == "running"
        return is_held and stream_of(self.database, stream).state == "live"


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


@pytest.fixture(scope="module")
def lobby(station: Station, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip that plays at its own speed for ever."""
    clip = write_live_clip(tmp_path_factory.mktemp("lobby") / "clip.mp4", seconds=6)
    add(station.database, f"file://{clip}", NAME, fps=5.0)
    return NAME


def watch(station: Station, stream: str) -> int:
    """Waits until the stream is live and another worker could take it over; its epoch."""
    wait_for(lambda: all(map(station.is_ready, station.workers)), "both workers are ready")
    wait_for(lambda: station.is_live(stream), "the stream is live")
    return shard_of(station.database, stream).epoch


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
    pids = children(station.workers[name])
    wait_for(lambda: freeze(station.database, pids), "the process freezes")


def freeze_worker(station: Station, name: str) -> None:
    pids = everyone(station.workers[name])
    wait_for(lambda: freeze(station.database, pids), "the worker freezes")


@pytest.mark.parametrize("fault", [kill_child, crash_child, kill_worker, freeze_child, freeze_worker])
def test_another_process_takes_a_stream_over(station: Station, lobby: str, fault: Fault) -> None:
    before = watch(station, lobby)
    name, gone = station.holder(lobby), shard_of(station.database).worker
    fault(station, name)
    since = time.time()
    try:
        wait_for(lambda: shard_of(station.database).epoch > before, "the stream is taken over")
        took_s = time.time() - since
        wait_for(lambda: station.is_live(lobby, before + 1), "it is live again")
        count = len(frames_of(station.database))
    finally:
        if fault is kill_worker:
            station.start(name)
        else:
            os.killpg(station.workers[name].pid, signal.SIGCONT)
    print(f"{fault.__name__}: taken over after {took_s:.1f} s")
    assert took_s < TAKEN_OVER_S + LOAD_S
    if fault in (freeze_child, freeze_worker):
        wait_for(lambda: "belongs to another worker now" in station.log(name), "the late worker learns of it")
    wait_for(lambda: len(frames_of(station.database)) > count + 10, "rows of its successor")
    heir = shard_of(station.database).worker
    assert heir != gone
    assert ("taken_over", f"{heir} took the stream over from {gone}.") in events_of(station.database)
    check_rows(station.database)


def test_a_worker_that_stops_gives_its_stream_away_at_once(station: Station, lobby: str) -> None:
    before = watch(station, lobby)
    name = station.holder(lobby)
    station.workers[name].terminate()
    wait_for(lambda: station.is_live(lobby, before + 1), "it is taken over", TAKEN_OVER_S + LOAD_S)
    assert station.workers[name].wait(30) == 0
    shard = shard_of(station.database)
    assert (shard.epoch, shard.attempts) == (before + 1, 1), "not counted"
    station.start(name)
    check_rows(station.database)


def test_tracks_were_numbered_upwards_all_the_time(station: Station, lobby: str) -> None:
    with writing(station.database) as session:
        stop_stream(session, lobby)
    check_rows(station.database)
    tracks = tracks_by_time(station.database)
    assert tracks == list(range(len(tracks)))
    assert len(tracks) > 5
    assert unwritten_tracks(station.database) == set(), "those of dead workers have their rows too"


def test_a_camera_with_a_password_is_on_air(station: Station, camera: LiveServer) -> None:
    add(station.database, camera.url, DOOR, Login(USER, PASSWORD), fps=5.0)
    wait_for(lambda: len(frames_of(station.database, DOOR)) > 20, "rows")
    wait_for(lambda: stream_of(station.database, DOOR).clock == "rtcp", "the camera's own clock is known")
    *_, (_, _, newest_ms, _) = frames_of(station.database, DOOR)
    assert abs(time.time() * 1000 - newest_ms) < 5000
    assert any(faces for *_, faces in frames_of(station.database, DOOR))
    check_rows(station.database, DOOR)
    server = redis.Redis(unix_socket_path=str(station.folder / "redis.sock"))
    wait_for(lambda: server.xlen(KEY + DOOR) > 2, "live summaries")
    told = [station.log("a"), station.log("b"), str(server.xrange(KEY + DOOR)), str(events_of(station.database, DOOR))]
    assert not any(PASSWORD in text or quote(PASSWORD, safe="") in text for text in told)
    server.close()


@pytest.mark.parametrize("state", ["live", "frozen", "gone"])
def test_a_stream_stops_within_seconds_in_any_state(station: Station, camera: LiveServer, state: str) -> None:
    watch(station, DOOR)
    name = station.holder(DOOR)
    if state == "frozen":
        camera.freeze()
    elif state == "gone":
        camera.kill()
    if state != "live":
        wait_for(lambda: stream_of(station.database, DOOR).state == "reconnecting", "the loss is noticed")
    told = station.log(name).count(f"stream {DOOR}: ends here")
    with writing(station.database) as session:
        assert stop_stream(session, DOOR)
    wait_for(lambda: station.log(name).count(f"stream {DOOR}: ends here") > told, "it has ended", STOPPED_S + LOAD_S)
    check_rows(station.database, DOOR)
    count = len(frames_of(station.database, DOOR))
    if state == "frozen":
        camera.thaw()
    elif state == "gone":
        camera.start()
    with writing(station.database) as session:
        assert start_stream(session, DOOR)
    wait_for(lambda: len(frames_of(station.database, DOOR)) > count, "on again")
