"""`status` of a finished job, and of one that is followed."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import psycopg
import pytest
from sqlalchemy import Engine as Database

from cli.views.following import follow
from cli.views.training import follow_training
from results.database import connect, upgrade, writing
from results.jobs import cancel_job, delete_job
from results.training import TrainingPlan, add_training
from tests.support.answers_job import add_job, answered
from tests.support.commands import fer_batch, succeed
from tests.support.databases import query
from tests.support.live_servers import wait_until
from tests.support.stack import Stack

AWAY = "the database does not answer"


def test_status_as_json_has_the_promised_keys(stack: Stack, job: str) -> None:
    status = json.loads(succeed("status", job, "--json", **stack.environment).stdout)
    keys = {"job", "state", "media", "shards", "frames", "faces", "fps", "eta_seconds", "errors", "models"}
    assert set(status) == keys
    assert [row["role"] for row in status["models"]] == ["detector", "classifier", "classifier"]
    assert status["shards"] == {"pending": 0, "running": 0, "done": 2, "failed": 0}
    assert (status["media"], status["frames"], status["errors"]) == (3, 52, [])
    assert query(stack.database_url, "SELECT count(*) FROM faces WHERE media_id IN "
                 "(SELECT id FROM media WHERE job_id = :job)", job=job) == [(status["faces"],)]  # fmt: skip


def test_an_unknown_job_is_one_sentence(stack: Stack) -> None:
    run = fer_batch("status", "19990101", **stack.environment)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.strip() == "Error: There is no job '19990101'."


@pytest.mark.parametrize("words", [("status",), ("timeline",), ("export", "--format", "csv"), ("train", "status")])
def test_an_empty_reference_is_not_the_newest_job(database: Database, words: tuple[str, ...]) -> None:
    """As of a variable of the shell that is not set."""
    add_job(database)
    with writing(database) as session:
        add_training(session, TrainingPlan("detector", "faces", 1, {}))
    found = answered(database, *words, "")
    assert (found.exit_code, found.stdout, found.stderr) == (1, "", "Error: There is no job ''.\n")


def test_a_job_that_is_deleted_while_it_is_followed_is_one_sentence(database: Database) -> None:
    job_id = add_job(database, finished=False)
    with ThreadPoolExecutor() as pool:
        watching = pool.submit(answered, database, "status", job_id, "--watch")
        sleep(1)
        with writing(database) as session:
            assert delete_job(session, job_id)
        found = watching.result(timeout=60)
    assert found.exit_code == 1
    assert found.stderr.splitlines()[-1].startswith(f"Error: There is no job '{job_id}'")


def test_a_command_that_follows_a_job_outlasts_the_database(
    postgresql: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    upgrade(url := postgresql())
    database = connect(url)
    job_id = add_job(database, finished=False)
    with writing(database) as session:
        run = add_training(session, TrainingPlan("detector", "faces", 1, {}))
    name = str(database.url.database)
    server = database.url.set(database="postgres", drivername="postgresql").render_as_string(hide_password=False)
    said: list[str] = []

    def is_told() -> bool:
        said.append(capsys.readouterr().err)
        return "".join(said).count(AWAY) == 2

    with ThreadPoolExecutor() as pool, psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        database.dispose()
        following = pool.submit(follow, database, job_id, quiet=True), pool.submit(follow_training, database, run)
        try:
            wait_until(is_told)
        finally:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
        with writing(database) as session:
            assert cancel_job(session, job_id) and cancel_job(session, run)
        assert [each.result(timeout=60).state for each in following] == ["cancelled", "cancelled"]
    database.dispose()
    assert AWAY not in capsys.readouterr().err, "each says so once"
