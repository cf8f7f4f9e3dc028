"""The commands against a Redis and a database that already run, on SQLite and on PostgreSQL."""

import csv
import io
import json
import time
from pathlib import Path

import pytest

from results.database import head_revision
from tests.support.commands import fer_batch, succeed
from tests.support.databases import query
from tests.support.stack import Stack
from workers.watchdog import SWEEP_S


@pytest.fixture(scope="module")
def job(stack: Stack, samples: Path) -> str:
    """The id of a job that the stack's worker has finished."""
    run = fer_batch("submit", str(samples), "--every", "4", "--name", "samples", "--wait", **stack.environment)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_submit_prints_the_job_id_alone(stack: Stack, job: str) -> None:
    assert query(stack.database_url, "SELECT state, name FROM jobs WHERE id = :job", job=job) == [("done", "samples")]


def test_submit_as_json_and_again_with_the_same_token(stack: Stack, samples: Path) -> None:
    words = ("submit", str(samples / "zidane.jpg"), "--token", "once", "--json")
    first, second = (json.loads(succeed(*words, **stack.environment).stdout) for _ in range(2))
    assert set(first) == {"job", "media", "shards"}
    assert (first["media"], first["shards"]) == (1, 1)
    assert first == second


def test_a_token_counts_even_when_its_files_are_gone(stack: Stack, samples: Path, tmp_path: Path) -> None:
    photograph = tmp_path / "zidane.jpg"
    photograph.write_bytes((samples / "zidane.jpg").read_bytes())
    words = ("submit", str(photograph), "--token", f"gone {tmp_path}")
    first = succeed(*words, **stack.environment).stdout
    photograph.unlink()
    assert succeed(*words, **stack.environment).stdout == first


def test_what_is_added_to_a_folder_later_belongs_to_the_next_job(stack: Stack, samples: Path, tmp_path: Path) -> None:
    def submitted() -> dict[str, int]:
        return dict(json.loads(succeed("submit", str(tmp_path), "--json", **stack.environment).stdout))

    (tmp_path / "1.jpg").write_bytes((samples / "zidane.jpg").read_bytes())
    first = submitted()
    (tmp_path / "2.jpg").write_bytes((samples / "zidane.jpg").read_bytes())
    second = submitted()
    assert (first["media"], second["media"]) == (1, 2)
    names = "SELECT uri FROM media WHERE job_id = :job ORDER BY position"
    assert query(stack.database_url, names, job=first["job"]) == [(str(tmp_path / "1.jpg"),)]
    for job in (first, second):
        succeed("cancel", str(job["job"]), **stack.environment)


def test_a_worker_leaves_the_jobs_of_other_queues_alone(stack: Stack, samples: Path) -> None:
    other = succeed("submit", str(samples / "zidane.jpg"), **stack.environment, FER_QUEUES="elsewhere").stdout.strip()
    succeed("submit", str(samples / "zidane.jpg"), "--wait", **stack.environment)
    time.sleep(SWEEP_S + 2)
    assert query(stack.database_url, "SELECT state FROM jobs WHERE id = :job", job=other) == [("queued",)]
    succeed("cancel", other, **stack.environment)


def test_status_as_json_has_the_promised_keys(stack: Stack, job: str) -> None:
    status = json.loads(succeed("status", job, "--json", **stack.environment).stdout)
    keys = {"job", "state", "media", "shards", "frames", "faces", "fps", "eta_seconds", "errors", "models"}
    assert set(status) == keys
    assert [row["role"] for row in status["models"]] == ["detector", "classifier", "classifier"]
    assert status["shards"] == {"pending": 0, "running": 0, "done": 2, "failed": 0}
    assert (status["media"], status["frames"], status["errors"]) == (3, 52, [])
    assert query(stack.database_url, "SELECT count(*) FROM faces WHERE media_id IN "
                 "(SELECT id FROM media WHERE job_id = :job)", job=job) == [(status["faces"],)]  # fmt: skip


def test_jobs_lists_the_newest_first(stack: Stack, job: str) -> None:
    jobs = json.loads(succeed("jobs", "--json", **stack.environment).stdout)
    assert job in [each["job"] for each in jobs]
    assert [each["job"] for each in jobs] == sorted((each["job"] for each in jobs), reverse=True)
    assert job in succeed("jobs", **stack.environment).stdout


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


def test_cancel_says_what_it_found(stack: Stack, job: str) -> None:
    run = succeed("cancel", job, **stack.environment)
    assert run.stdout.strip() == f"{job}: had ended already (done)"


def test_doctor_finds_everything_in_order(stack: Stack) -> None:
    run = fer_batch("doctor", "--json", **stack.environment)
    report = json.loads(run.stdout)
    assert run.returncode == 0 and report["ok"]
    assert {check["name"] for check in report["checks"]} == {"broker", "database", "device", "weights", "disk"}
    assert report["settings"]["FER_BROKER_URL"][1] == "environment"
    assert report["settings"]["FER_DEVICE"] == ["auto", "default"]


def test_db_upgrade_may_be_repeated(stack: Stack) -> None:
    assert fer_batch("db", "upgrade", **stack.environment).returncode == 0
    assert head_revision() in succeed("db", "current", **stack.environment).stdout


def test_an_unknown_job_is_one_sentence(stack: Stack) -> None:
    run = fer_batch("status", "19990101", **stack.environment)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.strip() == "Error: There is no job '19990101'."
