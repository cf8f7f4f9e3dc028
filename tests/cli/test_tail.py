"""`tail`: the live lines of a stream, through an outage of Redis, until Ctrl-C or until the reader is gone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from results.database import connect, upgrade, writing
from results.streams import stop_stream
from tests.support.cluster import end, start_redis
from tests.support.commands import fer_batch
from tests.support.rows import new_stream
from tests.support.watching import until
from workers.queue.local_stack import stack_folder
from workers.streams.live import FIELD, KEY

SUMMARY: dict[str, Any] = {
    "at": "2026-11-26T14:00:00.250+00:00",
    "stream": "lobby",
    "state": "live",
    "capture_fps": 25.0,
    "processed_fps": 5.0,
    "skipped": {"stale": 0, "decode": 0, "overload": 0},
    "delay_ms": {"p50": 310.0, "p95": 560.0},
    "faces": 1,
    "emotion": "happy",
    "means": {"happy": 0.75, "sad": 0.25},
    "tracks": [{"track_id": 12, "emotion": "happy", "confidence": 0.75}],
}


class Tail:
    """A queue's Redis in `folder`, a database with the stream `lobby`, and a `tail` that follows it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.environment = {"FER_BROKER_URL": f"redis+socket://{folder}/redis.sock", "FER_DATABASE_URL": url}
        self.server = start_redis(folder)
        self.written = 0

    @contextmanager
    def following(self, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A running `tail`, which has begun to listen."""
        command = [sys.executable, "-P", "-m", "cli", "tail", "lobby", *words]
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            given = {**os.environ, **self.environment}
            process = subprocess.Popen(command, stdout=out, stderr=err, env=given)
        try:
            until(self.is_listened_to)
            yield process
        finally:
            process.kill()
            process.wait()

    def client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.folder / "redis.sock"))

    def is_listened_to(self) -> bool:
        with self.client() as client:
            return any(each["cmd"] == "xread" for each in client.client_list())

    def publish(self, **values: Any) -> None:
        with self.client() as client:
            client.xadd(KEY + "lobby", {FIELD: json.dumps(SUMMARY | values)})

    def restart(self) -> None:
        end(self.server)
        self.server = start_redis(self.folder)

    @property
    def lines(self) -> list[str]:
        return (self.folder / "out").read_text().splitlines()

    @property
    def notes(self) -> list[str]:
        return (self.folder / "err").read_text().splitlines()

    @property
    def outages(self) -> list[str]:
        """The notes on Redis: a busy machine may also note that nothing comes."""
        return [note for note in self.notes if "Redis" in note]


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[Tail]:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    upgrade(url)
    database = connect(url)
    with writing(database) as session:
        new_stream(session, "lobby")
    database.dispose()
    with stack_folder() as folder:
        place = Tail(folder, url)
        yield place
        end(place.server)


def test_lines_go_on_after_an_outage_of_redis_which_is_noted_once(tail: Tail) -> None:
    tail.publish(stream="of yesterday")
    with tail.following("--json") as process:
        tail.publish(faces=1)
        until(lambda: len(tail.lines) == 1)
        end(tail.server)
        until(lambda: tail.outages)
        tail.restart()
        until(tail.is_listened_to)
        tail.publish(faces=2)
        until(lambda: len(tail.lines) == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert [json.loads(line) for line in tail.lines] == [SUMMARY, SUMMARY | {"faces": 2}]
    (note,) = tail.outages
    assert note.startswith("Note: Redis does not answer (") and note.endswith("); recording goes on without it.")


def test_silence_is_explained(tail: Tail) -> None:
    with tail.following():
        until(lambda: tail.notes)
        database = connect(tail.url)
        with writing(database) as session:
            stop_stream(session, "lobby")
        database.dispose()
        until(lambda: len(tail.notes) == 2)
        tail.publish()
        until(lambda: tail.lines)
    assert tail.notes == [
        "Note: no worker has lobby at present; fer-batch worker --queues stream starts one, if all others are full.",
        "Note: lobby is stopped; fer-batch stream start lobby starts it.",
    ]
    assert "1 face  happy 75%" in tail.lines[0] and "5.0 of 25.0 fps, delay 310/560 ms" in tail.lines[0]


def test_it_ends_with_its_reader(tail: Tail) -> None:
    command = f"{sys.executable} -P -m cli tail lobby | head -n 1"
    given = {**os.environ, **tail.environment}
    with subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, env=given) as process:
        until(tail.is_listened_to)

        def has_ended() -> bool:
            # The second line finds no reader.
            tail.publish()
            return process.poll() is not None

        until(has_ended)
        assert process.stdout and process.stdout.read().count(b"\n") == 1


def test_a_stream_that_is_not_there(tail: Tail) -> None:
    run = fer_batch("tail", "nowhere", **tail.environment)
    assert run.returncode == 1 and "There is no stream 'nowhere'" in run.stderr
