"""The commands `db ...`."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database

from results.database import head_revision, writing
from results.jobs import utc_now
from results.recording import hour
from tests.support.answers_job import add_job, aged, answered, left
from tests.support.commands import fer_batch, succeed
from tests.support.rows import new_stream, take_stream
from tests.support.stack import Stack


def test_db_upgrade_may_be_repeated(stack: Stack) -> None:
    assert fer_batch("db", "upgrade", **stack.environment).returncode == 0
    assert head_revision() in succeed("db", "current", **stack.environment).stdout


def test_purge_says_what_it_would_do_and_does_it(database: Database, tmp_path: Path) -> None:
    job_id = add_job(database)
    crops = tmp_path / "crops" / job_id
    crops.mkdir(parents=True)
    aged(database, job_id, options={"keep_crops": str(crops.parent)})
    assert answered(database, "db", "purge", "--older-than", "41d").stdout == "0 jobs deleted\n"
    result = answered(database, "db", "purge", "--older-than", "30d", "--dry-run")
    output = f"{job_id} (test): would be deleted, 41 frames and 81 faces\n1 jobs would be deleted\n"
    assert result.stdout == output and left(database) == [job_id] and crops.exists()
    result = answered(database, "db", "purge", "--older-than", "30d")
    assert result.stdout == output.replace("would be ", "") and left(database) == [] and not crops.exists()


def test_purge_counts_hours_of_streams_apart_from_jobs(database: Database) -> None:
    aged(database, add_job(database))
    with writing(database) as session:
        claim = take_stream(session, new_stream(session, "lobby"))
        for days in (40, 41):
            hour(session, claim, utc_now(session) - timedelta(days=days))
    for chosen, deleted in ((["--dry-run"], "would be deleted"), ([], "deleted")):
        result = answered(database, "db", "purge", "--older-than", "30d", *chosen)
        assert result.stdout.endswith(f"stream lobby: {deleted}, 2 hours\n1 jobs {deleted}\n")


@pytest.mark.parametrize("age", ["30", "0d", "-1d", "soon"])
def test_an_age_is_a_number_with_its_unit(database: Database, age: str) -> None:
    assert answered(database, "db", "purge", "--older-than", age).exit_code == 2
