"""`stream add`, `list`, `stop`, `start`, `remove` and `events`, on both databases, with a real Redis and no worker."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result
from sqlalchemy import Engine as Database
from sqlalchemy import text

from cli.main import main
from results.database import reading, writing
from results.leases import Claim
from results.recording import append_stream, hour, resume
from tests.support.rows import face, frame, take_stream
from workers.streams.live import FIELD, KEY

TWO = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)
URI = "rtsp://anna:s%40cret@127.0.0.1:1/cam"


class Terminal:
    """Commands on one database and one queue. All that they print is kept."""

    def __init__(self, database: Database, broker: str) -> None:
        self.database, self.broker, self.printed = database, broker, ""
        url = database.url.render_as_string(hide_password=False)
        self._environment = {"FER_DATABASE_URL": url, "FER_BROKER_URL": broker}

    def __call__(self, *words: str, code: int = 0, **environment: str) -> Result:
        result = CliRunner().invoke(main, words, env={**self._environment, **environment})
        self.printed += result.output
        assert result.exit_code == code, result.output
        return result

    def listed(self) -> Any:
        return json.loads(self("stream", "list", "--json").stdout)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with reading(self.database) as session:
            return [tuple(row) for row in session.execute(text(statement))]

    def recorded(self, job_id: str) -> Claim:
        """A worker's first second: a frame with a face, and the connection."""
        with writing(self.database) as session:
            claim = take_stream(session, job_id, f"{os.uname().nodename}:1")
            resume(session, claim)
            place = hour(session, claim, TWO)
            event = (place.media_id, TWO, "connected", "It is connected: h264.")
            figures = {"state": "live", "capture_fps": 25.0, "processed_fps": 5.0, "delay_p50_ms": 310.0}
            rows = [frame(place.media_id, 0, 0, 1)], [face(place.media_id, 0, 0, track_id=0, happy=1.0)]
            append = {"events": [event], "figures": figures | {"delay_p95_ms": 560.0, "skipped_stale": 3}}
            append_stream(session, claim, 0, frames=rows[0], faces=rows[1], next_track_id=1, **append)  # type: ignore[arg-type]
        return claim


@pytest.fixture
def fer(database: Database, broker: str) -> Terminal:
    return Terminal(database, broker)


def test_a_stream_from_its_addition_to_its_removal(fer: Terminal) -> None:
    added = fer("stream", "add", URI, "--name", "lobby", "--fps", "5", "--retention", "7d", "--policy", "everything")
    job_id = added.stdout.strip()
    assert added.stderr.startswith("Note: no worker serves the queue 'stream' yet; start one: fer-batch worker")
    assert fer.rows("SELECT job_id, name, uri FROM streams") == [(job_id, "lobby", "rtsp://127.0.0.1:1/cam")]
    assert fer.rows("SELECT username, password FROM stream_logins") == [("anna", "s@cret")]
    ((options,),) = fer.rows("SELECT options FROM jobs")
    stored = json.loads(options) if isinstance(options, str) else options
    assert (stored["fps"], stored["policy"], stored["retention_ms"]) == (5.0, "everything", 7 * 86_400_000)
    assert [(each["name"], each["state"], each["worker"]) for each in fer.listed()] == [("lobby", "waiting", None)]

    fer.recorded(job_id)
    (found,) = fer.listed()
    assert (found["state"], found["capture_fps"], found["processed_fps"], found["rows"]) == ("live", 25.0, 5.0, 2)
    assert found["delay_ms"] == {"p50": 310.0, "p95": 560.0}
    assert found["skipped"] == {"stale": 3, "decode": 0, "overload": 0}
    assert found["last_event"]["kind"] == "connected" and found["worker"] == f"{os.uname().nodename}:1"
    table = fer("stream", "list").stdout
    assert re.search(r"lobby +live +25\.0 +5\.0 +310/560 +stale 3", table)
    (event,) = json.loads(fer("stream", "events", "lobby", "--json").stdout)
    assert event == {"at": "2026-11-26T14:00:00+00:00", "kind": "connected", "detail": "It is connected: h264."}
    assert re.search(
        r"2026-11-2\d \d\d:\d\d:00 +connected +It is connected: h264\.", fer("stream", "events", "lobby").stdout
    )

    assert fer("stream", "stop", "lobby").stdout == "lobby: stopped\n"
    assert fer("stream", "stop", "lobby").stdout == "lobby was stopped already\n"
    assert fer.listed()[0]["state"] == "stopped"
    assert fer("stream", "start", "lobby").stdout == "lobby: started\n"
    assert fer("stream", "start", "lobby").stdout == "lobby is on already\n"
    assert fer.listed()[0]["state"] == "waiting"

    with redis.Redis(unix_socket_path=fer.broker.removeprefix("redis+socket://")) as server:
        server.xadd(KEY + "lobby", {FIELD: "{}"})
        removed = fer("stream", "remove", "lobby")
        assert (removed.stdout, removed.stderr, server.exists(KEY + "lobby")) == ("lobby: removed\n", "", 0)
    for table_name in ("streams", "stream_logins", "stream_events", "jobs", "media", "frames", "faces", "tracks"):
        assert fer.rows(f"SELECT count(*) FROM {table_name}") == [(0,)], table_name
    assert "s@cret" not in fer.printed and "s%40cret" not in fer.printed and "anna" not in fer.printed


def test_the_queue_holds_a_number_and_no_login(fer: Terminal) -> None:
    fer("stream", "add", URI, "--name", "lobby")
    with redis.Redis(unix_socket_path=fer.broker.removeprefix("redis+socket://")) as server:
        messages = [m for key in server.scan_iter("stream*", _type="list") for m in server.lrange(key, 0, -1)]
        server.flushall()
    assert messages and all(b"serve_stream" in each for each in messages)
    assert not any(word in each for each in messages for word in (b"cret", b"anna", b"127.0.0.1"))


def test_a_name_that_is_taken_or_is_none_is_refused(fer: Terminal) -> None:
    fer("stream", "add", URI, "--name", "lobby")
    assert "There is a stream 'lobby' already" in sentence_of(fer("stream", "add", URI, "--name", "lobby", code=1))
    for name in ("", "two words", "a/b", "ä", "x" * 64, "new\nline"):
        assert "is not a name" in fer("stream", "add", URI, "--name", name, code=2).stderr
    assert len(fer.listed()) == 1


@pytest.mark.parametrize("command", ["stop", "start", "remove", "events"])
def test_a_stream_that_is_not_there(fer: Terminal, command: str) -> None:
    words = sentence_of(fer("stream", command, "nowhere", code=1))
    assert words == "There is no stream 'nowhere'; `fer-batch stream list` names those that there are."


def test_an_address_of_another_kind_is_refused_without_its_login(fer: Terminal) -> None:
    sentence = sentence_of(fer("stream", "add", "ftp://anna:s3cret@camera/1", "--name", "lobby", code=1))
    assert "rtsp" in sentence and "s3cret" not in sentence
    assert fer.listed() == []


def test_a_password_may_come_from_the_environment(fer: Terminal) -> None:
    uri = "rtsp://anna@127.0.0.1:1/cam"
    fer("stream", "add", uri, "--name", "front-door", FER_STREAM_PASSWORD_FRONT_DOOR="from here")
    fer("stream", "add", uri, "--name", "of-the-worker")
    fer("stream", "add", "rtsp://127.0.0.1:1/cam", "--name", "open")
    stored = fer.rows("SELECT username, password FROM stream_logins JOIN streams USING (job_id) ORDER BY name")
    assert stored == [("anna", "from here"), ("anna", None)]
    assert [each["uri"] for each in fer.listed()] == ["rtsp://127.0.0.1:1/cam"] * 3


def test_without_a_broker_no_stream_is_added(fer: Terminal, tmp_path: Path) -> None:
    words = ("stream", "add", URI, "--name", "lobby", "--broker", "redis://127.0.0.1:1/0")
    assert "start Redis" in sentence_of(fer(*words, code=1))
    assert fer.listed() == []


def test_a_deleted_stream_leaves_nothing_in_redis_and_is_deleted_without_it_too(fer: Terminal) -> None:
    with redis.Redis(unix_socket_path=fer.broker.removeprefix("redis+socket://")) as server:
        for name in ("lobby", "door"):
            job_id = fer("stream", "add", URI, "--name", name).stdout.strip()
            fer("stream", "stop", name)
            server.xadd(KEY + name, {FIELD: "{}"})
            words = () if name == "lobby" else ("--broker", "redis://127.0.0.1:1/0")
            assert fer("delete", job_id, *words).stdout == f"{job_id}: deleted\n"
        assert (server.exists(KEY + "lobby"), server.exists(KEY + "door")) == (0, 1)
    assert fer.listed() == []


def sentence_of(result: Result) -> str:
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")
