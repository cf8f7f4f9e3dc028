"""`timeline`, on jobs whose rows are known and on one that a worker has done."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text

from cli.connection import asked_about
from results.database import connect, upgrade, writing
from results.read.timelines import timeline
from results.retention import compact
from tests.support.answers_job import add_job, answered
from tests.support.commands import succeed
from tests.support.databases import query, sqlite_database
from tests.support.stack import Stack
from workers.settings import Settings


def test_timeline_in_every_form(stack: Stack, job: str) -> None:
    by_json = json.loads(succeed("timeline", job, "--format", "json", **stack.environment).stdout)
    by_csv = list(csv.DictReader(io.StringIO(succeed("timeline", job, "--format", "csv", **stack.environment).stdout)))
    table = succeed("timeline", job, **stack.environment).stdout
    clip = [row for row in by_json if row["uri"].endswith("clip.mp4")]
    assert [row["start_ms"] for row in clip] == [second * 1000 for second in range(8)]
    assert all(type(row["start_ms"]) is int for row in by_json)
    assert sum(row["frames"] for row in clip) == 50
    assert [row["emotion"] or "" for row in by_json] == [row["emotion"] for row in by_csv]
    assert table.count("clip.mp4") == 8 and table.count("zidane.jpg") == 1
    assert max(map(len, table.splitlines())) <= 80 and "…" not in table


def test_timeline_by_track_and_by_half_seconds(stack: Stack, job: str) -> None:
    words = ("timeline", job, "--by", "track", "--bucket", "500ms", "--format", "json")
    rows = json.loads(succeed(*words, **stack.environment).stdout)
    assert rows and all(row["track_id"] is not None and row["start_ms"] % 500 == 0 for row in rows)
    assert {row["uri"].rsplit("/", 1)[1] for row in rows} == {"clip.mp4"}


def test_the_views_agree_with_the_timeline(stack: Stack, job: str) -> None:
    seen = query(
        stack.database_url,
        "SELECT second, faces, emotion FROM emotion_timeline "
        "WHERE job_id = :job AND uri LIKE '%clip.mp4' ORDER BY second",
        job=job,
    )
    rows = json.loads(succeed("timeline", job, "--format", "json", **stack.environment).stdout)
    clip = [(r["start_ms"] // 1000, r["faces"], r["emotion"]) for r in rows if r["uri"].endswith("clip.mp4")]
    assert seen == clip


def test_timeline_smoothed_and_chosen(database: Database) -> None:
    add_job(database)
    words = ("timeline", "--by", "track", "--bucket", "100ms", "--format", "json")
    raw, smooth = (json.loads(answered(database, *words, *more).stdout) for more in ((), ("--smooth", "1")))
    assert [row["happy"] for row in raw][13:17] == [0.9, 0.9, 0.1, 0.1]
    assert 0.1 < smooth[14]["happy"] < 0.9 and len(smooth) == len(raw)
    sure = json.loads(answered(database, *words, "--min-confidence", "0.8").stdout)
    assert {row["track_id"] for row in sure} == {0}
    assert json.loads(answered(database, *words, "--min-quality", "0.6").stdout) == []


def test_timeline_with_affect_in_every_form(database: Database) -> None:
    add_job(database)
    words = ("timeline", "--by", "track", "--affect")
    rows = json.loads(answered(database, *words, "--format", "json").stdout)
    assert rows and all(
        row["valence"] == pytest.approx(0.81 * row["happy"] - 0.63 * row["sad"]) for row in rows if row["track_id"] == 0
    )
    by_csv = list(csv.DictReader(io.StringIO(answered(database, *words, "--format", "csv").stdout)))
    assert list(by_csv[0])[-3:] == ["at", "valence", "arousal"]
    assert [float(row["arousal"]) for row in by_csv] == [row["arousal"] for row in rows]
    assert answered(database, *words).stdout.splitlines()[0].split()[-2:] == ["valence", "arousal"]
    assert "valence" not in answered(database, *words[:3], "--format", "json").stdout


@pytest.mark.parametrize("wrong", [("--smooth", "61"), ("--smooth", "nan"), ("--min-quality", "2"), ("--by", "mood")])
def test_timeline_used_wrongly(database: Database, wrong: tuple[str, ...]) -> None:
    add_job(database)
    assert answered(database, "timeline", *wrong).exit_code == 2


def test_a_reader_of_the_output_may_take_longer_than_a_writer_may_idle(
    postgresql: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `timeline | less`, or while `annotate` writes a film."""
    upgrade(url := postgresql())
    database = connect(url)
    add_job(database)
    database.dispose()
    # Long enough for the first statements on a busy machine.
    monkeypatch.setattr("results.database.LOCKS_S", 4.0)
    with asked_about(Settings(database_url=url), None) as (session, job_id):
        rows = timeline(session, job_id, bucket_ms=100)
        first = next(rows)
        sleep(4.5)
        assert len([first, *rows]) == 41
    session.get_bind().engine.dispose()


def test_a_pager_that_waits_holds_no_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.database.BUSY_TIMEOUT_S", 0.2)
    database = connect(url := sqlite_database(tmp_path / "results.db"))
    add_job(database)
    with writing(database) as session:
        # More than a pipe holds.
        for table in ("frames", "faces"):
            session.execute(text(f"UPDATE {table} SET time_ms = 1000 * frame_index"))
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) "
        rows = "INSERT INTO frames (media_id, frame_index, shard_id, time_ms, faces) SELECT 1, i, 1, 1000 * i, 0 FROM n"
        session.execute(text(numbers + rows))
    command = [sys.executable, "-P", "-m", "cli", "timeline", "--db", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as pager:
        assert pager.stdout is not None
        assert pager.stdout.read(1) and pager.poll() is None
        assert compact(database)
        assert pager.stdout.read().count(b"\n") > 3000
    database.dispose()
