"""Commands that answer questions about a stream, by its name: in absolute times, over the full hour."""

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as Database

from results.database import writing
from results.jobs import utc_now
from results.recording import append_stream, hour
from tests.support.answers_job import answered
from tests.support.rows import face, frame, new_stream, take_stream

pytestmark = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
THREE = datetime(2026, 5, 1, 15, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone of this machine."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def asked(database: Database, *words: str, code: int = 0) -> str:
    """What a command prints on stdout, or where it fails on stderr."""
    result = answered(database, *words)
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


@pytest.fixture
def lobby(database: Database) -> Database:
    """A stream with a happy face in each second from 14:59:57 to 15:00:02, and in the last three minutes."""
    with writing(database) as session:
        claim = take_stream(session, new_stream(session, "lobby"), "host:1")
        now = utc_now(session).replace(microsecond=0)
        moments = [THREE + timedelta(seconds=n) for n in range(-3, 3)]
        moments += [now - timedelta(seconds=n) for n in range(180, 0, -1)]
        frames, faces = [], []
        for n, moment in enumerate(moments):
            place = hour(session, claim, moment)
            time_ms = round((moment - place.started_at).total_seconds() * 1000)
            frames.append(frame(place.media_id, n, time_ms, 1))
            faces.append(face(place.media_id, n, time_ms, track_id=5, happy=0.75, sad=0.25))
        event = (place.media_id, now, "connected", "The source answered.")
        figures = {"state": "live", "capture_fps": 25.0, "processed_fps": 5.0, "skipped_stale": 1200}
        figures |= {"delay_p50_ms": 120.0, "delay_p95_ms": 400.0}
        append_stream(session, claim, 0, frames=frames, faces=faces, events=[event], figures=figures, next_track_id=6)
    return database


def rows(database: Database, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(asked(database, *words, "--format", "json"))
    return found


def test_a_timeline_has_absolute_times_and_goes_on_over_the_full_hour(lobby: Database) -> None:
    early = ("timeline", "lobby", "--until", "2026-05-01T15:00:03Z")
    found = rows(lobby, *early, "--bucket", "2s")
    assert [(row["at"], row["frames"]) for row in found] == [
        ("2026-05-01T14:59:56+00:00", 1),
        ("2026-05-01T14:59:58+00:00", 2),
        ("2026-05-01T15:00:00+00:00", 2),
        ("2026-05-01T15:00:02+00:00", 1),
    ]
    # The time is the machine's where it has no offset, and the same in all forms.
    words = ("timeline", "lobby", "--last", "2s", "--until", "2026-05-01T17:00:01", "--by", "track")
    table = asked(lobby, *words)
    assert [line.split()[:5] for line in table.splitlines()[1:]] == [
        ["lobby", "#5", "2026-05-01", "16:59:59", "1"], ["lobby", "#5", "2026-05-01", "17:00:00", "1"],
    ]  # fmt: skip
    assert max(map(len, table.splitlines())) <= 80
    text = asked(lobby, *words, "--format", "csv", "--timezone", "Asia/Kolkata", "--until", "2026-05-01T20:30:01")
    assert [row["at"] for row in csv.DictReader(io.StringIO(text))] == [
        "2026-05-01T20:29:59+05:30", "2026-05-01T20:30:00+05:30",
    ]  # fmt: skip


def test_the_last_minutes_are_those_until_now(lobby: Database) -> None:
    found = rows(lobby, "timeline", "lobby", "--last", "1m")
    moments = [datetime.fromisoformat(row["at"]) for row in found]
    assert moments and all(datetime.now(UTC) - moment < timedelta(minutes=2) for moment in moments)
    assert len(rows(lobby, "timeline", "lobby", "--last", "1h", "--bucket", "7d")) in (1, 2)


def test_an_export_has_moments_and_hours_are_files(lobby: Database, tmp_path: Path) -> None:
    words = ("export", "lobby", "--until", "2026-05-02T00:00Z")
    text = asked(lobby, *words, "--format", "csv", "--timezone", "Europe/Berlin")
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["at"] for row in found][2:4] == ["2026-05-01T16:59:59.000+02:00", "2026-05-01T17:00:00.000+02:00"]
    asked(lobby, *words, "--format", "vtt", "--each", "-o", str(tmp_path / "hours"))
    assert sorted(path.name for path in (tmp_path / "hours").iterdir()) == [
        "2026-05-01T14Z-lobby.vtt", "2026-05-01T15Z-lobby.vtt",
    ]  # fmt: skip
    assert "00:59:57.000 --> 01:00:00.000" in (tmp_path / "hours" / "2026-05-01T14Z-lobby.vtt").read_text()
    refused = asked(lobby, *words, "--format", "srt", code=2)
    assert "The job has 2 hours; with --each" in refused


def test_the_status_is_that_of_the_stream(lobby: Database) -> None:
    shown = asked(lobby, "status", "lobby")
    for line in ("stream lobby", "state live", "worker host:1", "speed 5.0 of 25.0 frames per second", "faces 186"):
        assert line in "\n".join(" ".join(each.split()) for each in shown.splitlines()), shown
    found = json.loads(asked(lobby, "status", "lobby", "--json"))
    assert (found["state"], found["eta_seconds"], found["stream"]["state"]) == ("running", None, "live")
    assert "stream" in asked(lobby, "jobs")


def test_a_stream_has_no_end_to_watch_for(lobby: Database) -> None:
    assert "`fer-batch tail lobby` follows it" in " ".join(asked(lobby, "status", "lobby", "--watch", code=2).split())


def test_a_period_without_hours_is_said_to_be_one(lobby: Database, tmp_path: Path) -> None:
    period = ("--last", "1s", "--until", "2020-01-01T00:00Z", "-o", str(tmp_path / "none"))
    for words in (("--format", "vtt"), ("--format", "csv", "--each")):
        assert "Nothing was recorded in that period." in asked(lobby, "export", "lobby", *words, *period, code=2)
    assert not (tmp_path / "none").exists()


def test_annotate_refuses_a_stream_and_cancel_stops_it(lobby: Database, tmp_path: Path) -> None:
    refused = asked(lobby, "annotate", "lobby", "-o", str(tmp_path / "out"), code=1)
    assert "'lobby' is a stream: its pictures are not stored" in refused
    assert "cancelled" in asked(lobby, "cancel", "lobby")
    found = json.loads(asked(lobby, "status", "lobby", "--json"))
    assert (found["stream"]["state"], found["stream"]["last_event"]["kind"]) == ("stopped", "stopped")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (("--until", "noon"), "is not a time"),
        (("--timezone", "Europe/Atlantis"), "not a known time zone"),
        (("--timezone", "../../etc/passwd"), "not a known time zone"),
    ],
)
def test_times_used_wrongly(lobby: Database, wrong: tuple[str, ...], sentence: str) -> None:
    assert sentence in asked(lobby, "timeline", "lobby", *wrong, code=2)
