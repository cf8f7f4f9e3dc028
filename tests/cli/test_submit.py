"""`submit` against a Redis and a database that already run, on SQLite and on PostgreSQL."""

import json
from pathlib import Path

from sqlalchemy import delete

from results.database import connect, writing
from results.tables import Sweep
from tests.support.commands import fer_batch, succeed
from tests.support.databases import query
from tests.support.stack import Stack
from tests.support.watching import until


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


def test_a_token_with_other_paths_or_options_is_refused(stack: Stack, samples: Path, tmp_path: Path) -> None:
    token = ("--token", f"other {tmp_path}")
    job = succeed("submit", str(samples / "zidane.jpg"), *token, **stack.environment).stdout.strip()
    for words, what in (((samples / "bus.jpg",), "paths"), ((samples / "zidane.jpg", "--every", "2"), "options")):
        run = fer_batch("submit", *map(str, words), *token, **stack.environment)
        assert (run.returncode, run.stdout) == (1, "")
        assert f"was used for job {job}, with other {what}" in run.stderr


def test_a_worker_needs_two_connections(stack: Stack, samples: Path) -> None:
    if not stack.database_url.startswith("postgresql"):
        return
    succeed("submit", str(samples / "zidane.jpg"), "--wait", **stack.environment)
    ours = "FROM pg_stat_activity WHERE application_name = 'fer-batch' AND pid <> pg_backend_pid()"
    assert query(stack.database_url, f"SELECT count(*) {ours}") == [(2,)]


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
    # The worker sweeps when its turn is due; the second turn begins after the first has ended.
    database = connect(stack.database_url)
    for _ in range(2):
        with writing(database) as session:
            session.execute(delete(Sweep))
        until(lambda: query(stack.database_url, "SELECT queue FROM sweeps") == [("batch",)])
    database.dispose()
    assert query(stack.database_url, "SELECT state FROM jobs WHERE id = :job", job=other) == [("queued",)]
    succeed("cancel", other, **stack.environment)
