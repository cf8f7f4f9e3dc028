"""`fer-batch up`, as it is used: Redis, workers and Flower in one terminal, jobs from another."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from tests.support.commands import fer_batch, succeed, succeed_here
from tests.support.databases import query
from tests.support.live_servers import free_port, rtsp_server
from tests.support.processes import children_of
from tests.support.watching import fetch, until

WAIT_S = 200
"""Longer than a worker's start takes on a busy machine."""


@dataclass
class Up:
    """A folder with a database and a queue's data, and the `up` that runs there."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'results.db'}"

    @property
    def connection(self) -> dict[str, str]:
        """For commands in another terminal."""
        return {"FER_DATABASE_URL": self.url, "FER_BROKER_URL": f"redis://localhost:{self.port}/0"}

    def words(self, *words: str) -> list[str]:
        return ["up", "--db", self.url, "--port", str(self.port), "--data", str(self.folder / "queue"), *words]

    def start(self, *words: str, **environment: str) -> None:
        """Starts it with an empty log, and waits until it prints how to submit."""
        with (self.folder / "log").open("wb") as log, (self.folder / "errors").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cli", *self.words(*words)],
                env={**os.environ, "FER_TEST_MARKER": str(self.folder), **environment},
                stdout=log,
                stderr=errors,
                # Where the tests run in a shell's background, Ctrl-C would be ignored.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )
        until(lambda: "To submit" in self.log or self.ended, WAIT_S)
        assert not self.ended, self.log + self.errors

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def errors(self) -> str:
        return (self.folder / "errors").read_text()

    def stop(self, number: int) -> int:
        """Sends a signal; returns the exit code."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)

    def worker(self) -> int:
        """The process id of its one worker."""
        (found,) = [pid for pid in children_of(str(self.folder)) if b"worker-1" in commandline(pid)]
        return found

    def waiting(self) -> int:
        """How many messages are in the queue."""
        with redis.Redis(port=self.port) as server:
            return sum(server.llen(key) for key in server.scan_iter("batch*", _type="list"))


def commandline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    place = Up(tmp_path)
    yield place
    if place.process:
        place.process.kill()
        place.process.wait()
        print(place.log)
    until(lambda: children_of(str(tmp_path)) == [], WAIT_S)


@pytest.mark.timeout(900)
def test_jobs_are_done_a_dead_worker_comes_back_and_sigterm_stops_everything(
    up: Up, prepared: None, samples: Path
) -> None:
    flower, web = free_port(), free_port()
    beside = ["--flower", "--flower-port", str(flower), "--web", "--web-port", str(web)]
    uploads = {"FER_UPLOADS_DIR": str(up.folder / "uploads")}
    up.start("--workers", "1", *beside, FER_FLOWER_AUTH="fer:secret", FER_WEB_PASSWORD="open sesame", **uploads)
    (line,) = re.findall(r"^up +\| To submit from another terminal: (.+)$", up.log, re.MULTILINE)
    words = shlex.split(line)
    assert words == ["fer-batch", "submit", "videos/", "--broker", up.connection["FER_BROKER_URL"], "--db", up.url]
    succeed("submit", str(samples / "zidane.jpg"), "--wait", *words[3:])

    assert f"up       | Flower: http://127.0.0.1:{flower}, user fer, password as in FER_FLOWER_AUTH" in up.log
    page = f"http://127.0.0.1:{flower}/workers"
    assert until(lambda: fetch(page, "fer:secret")[0] == 200)
    assert fetch(page)[0] == 401

    assert f"up       | Web page: http://127.0.0.1:{web}" in up.log
    assert fetch(f"http://127.0.0.1:{web}/_stcore/health")[0] == 401

    killed = up.worker()
    os.kill(killed, signal.SIGKILL)
    until(lambda: up.log.count("worker-1@") and up.log.count(" ready.") == 2, WAIT_S)
    assert "up       | worker 1 died (signal 9 (SIGKILL)); starting it again" in up.log
    assert up.worker() != killed
    succeed("submit", str(samples / "bus.jpg"), "--wait", **up.connection)
    assert query(up.url, "SELECT state FROM jobs") == [("done",), ("done",)]

    assert len(children_of(str(up.folder))) >= 5, "itself, Redis, Flower, the worker and its child"
    assert up.stop(signal.SIGTERM) == 0 and up.errors == ""
    assert children_of(str(up.folder)) == []
    assert {line.partition(" | ")[0].rstrip() for line in up.log.splitlines()} == {
        "up", "redis", "flower", "web", "worker 1",
    }  # fmt: skip
    assert re.findall(r"^up +\| stopping (.+)$", up.log, re.MULTILINE) == ["worker 1", "flower", "web", "redis"]


@pytest.mark.timeout(900)
@pytest.mark.timeout(900)
def test_streams_live_from_another_terminal_and_their_passwords_are_seen_nowhere(
    up: Up, prepared: None, live_clip: Path
) -> None:
    flower, metrics, password = free_port(), free_port(), "geheim:w@rd/ü"
    words = ("--workers", "0", "--streams", "--flower", "--flower-port", str(flower))
    surroundings = {"FER_STREAM_PASSWORD_GATE": password, "FER_METRICS_PORT": str(metrics)}

    def output(*words: str) -> str:
        run = succeed_here(*words, **up.connection)
        return run.stdout + run.stderr

    def streams() -> dict[str, Any]:
        return {each["name"]: each for each in json.loads(output("stream", "list", "--json"))}

    with rtsp_server(live_clip, "anna", password) as server:
        up.start(*words, FER_FLOWER_AUTH="fer:secret", **surroundings)
        assert "To add a stream from another terminal: fer-batch stream add rtsp://" in up.log
        output("stream", "add", server.url_with_login, "--name", "lobby", "--fps", "0.5")
        output("stream", "add", server.url.replace("//", "//anna@"), "--name", "gate", "--fps", "0.5")
        output("stream", "add", server.url_with_login.replace("anna", "bob"), "--name", "door", "--fps", "0.5")
        until(lambda: [streams()[name]["state"] for name in ("lobby", "gate")] == ["live", "live"], WAIT_S)
        until(lambda: "lost" in output("stream", "events", "door"), WAIT_S)
        until(lambda: streams()["lobby"]["rows"] > 5, WAIT_S)
        seen = [output("stream", "list"), str(streams()), *(output("stream", "events", name) for name in streams())]
        seen += [output(*words) for words in (("jobs",), ("status", "lobby"), ("timeline", "lobby", "--last", "5m"))]
        seen += [output("export", "lobby", "--format", "csv"), output("report", "lobby", "-o", str(up.folder / "page"))]
        tail = [sys.executable, "-P", "-m", "cli", "tail", "lobby"]
        with subprocess.Popen(tail, env={**os.environ, **up.connection}, stdout=subprocess.PIPE) as live:
            assert live.stdout
            seen.append(live.stdout.readline().decode())
            live.send_signal(signal.SIGINT)
        assert "fps" in seen[-1] and "happy" in seen[-3]
        pages = ("workers", "tasks", "api/tasks", "api/workers", "broker")
        seen += [fetch(f"http://127.0.0.1:{flower}/{page}", "fer:secret")[1] for page in pages]
        figures = fetch(f"http://127.0.0.1:{metrics}/metrics")[1]
        assert 'fer_stream_state{state="live",stream="lobby"} 1.0' in figures
        seen += [figures, (up.folder / "page").read_text()]
        assert "serve_stream" in seen[-5]
        seen += [commandline(pid).decode() for pid in children_of(str(up.folder))]
        for name in ("lobby", "gate", "door"):
            assert output("stream", "stop", name) == f"{name}: stopped\n"
        assert up.stop(signal.SIGTERM) == 0 and up.errors == ""
        seen.append(up.log)
    assert not [text for text in seen for form in (password, quote(password, safe=""), "geheim") if form in text]


def test_the_queue_survives_and_a_killed_up_leaves_nothing(up: Up, prepared: None, samples: Path) -> None:
    up.start("--workers", "0")
    job = succeed("submit", str(samples / "zidane.jpg"), **up.connection).stdout.strip()
    assert up.waiting() == 1
    assert up.stop(signal.SIGINT) == 0 and children_of(str(up.folder)) == []

    up.start("--workers", "0")
    assert up.waiting() == 1, "without a worker, which would queue again what it misses"
    assert up.stop(signal.SIGTERM) == 0

    up.start()
    until(lambda: query(up.url, "SELECT state FROM jobs WHERE id = :job", job=job) == [("done",)], WAIT_S)
    assert query(up.url, "SELECT attempts FROM shards") == [(1,)]
    assert up.process
    up.process.kill()
    until(lambda: children_of(str(up.folder)) == [], WAIT_S)


def test_a_shard_that_is_worked_on_is_finished_or_queued_again(up: Up, prepared: None, samples: Path) -> None:
    up.start(FER_GRACE_SECONDS="0")
    succeed("submit", str(samples), "--shard-seconds", "4", **up.connection)
    until(lambda: query(up.url, "SELECT 1 FROM shards WHERE state = 'running' AND frames > 0"), WAIT_S)
    assert up.stop(signal.SIGINT) == 0
    states = {state for (state,) in query(up.url, "SELECT state FROM shards")}
    assert "pending" in states and "running" not in states
    assert query(up.url, "SELECT max(attempts) FROM shards") <= [(1,)]


def test_a_worker_that_dies_at_birth_ends_it_with_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    words = Up(tmp_path).words()
    run = fer_batch(*words, FER_TEST_MARKER=str(tmp_path), FER_MODELS_DIR=str(tmp_path))
    assert run.returncode == 1 and "Traceback" not in run.stderr
    (sentence,) = run.stderr.splitlines()
    assert sentence.startswith("Error: worker 1 died 3 times before it was ready (exit code 1): ")
    assert str(tmp_path / "manifest.json") in sentence
    assert children_of(str(tmp_path)) == []


def test_a_second_one_is_refused(up: Up) -> None:
    up.start("--workers", "0")
    run = fer_batch(*up.words("--workers", "0"))
    assert run.returncode == 1
    assert f"Error: A Redis server listens at port {up.port} already" in run.stderr and "--port" in run.stderr
    words = up.words("--workers", "0", "--port", str(free_port()))
    run = fer_batch(*words)
    assert run.returncode == 1 and f"uses the folder {up.folder / 'queue'}" in run.stderr and "--data" in run.stderr
    assert up.waiting() == 0, "the first one is as it was"
