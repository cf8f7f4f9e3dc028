"""`delete`, on both databases."""

from pathlib import Path

from sqlalchemy import Engine as Database

from results.database import writing
from tests.support.answers_job import add_job, aged, answered, left


def test_delete_removes_crops_and_says_which_it_cannot_reach(database: Database, tmp_path: Path) -> None:
    job_id = add_job(database)
    crops = tmp_path / "crops" / job_id
    crops.mkdir(parents=True)
    aged(database, job_id, options={"keep_crops": str(crops.parent)})
    result = answered(database, "delete", job_id)
    assert result.stdout == f"{job_id}: deleted\n" and result.stderr == ""
    assert not crops.exists() and left(database) == []
    elsewhere = add_elsewhere(database)
    result = answered(database, "delete", elsewhere)
    assert f"the pictures of faces in /elsewhere/{elsewhere} are not on this machine" in result.stderr


def add_elsewhere(database: Database) -> str:
    from results.jobs import create_job

    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={"keep_crops": "/elsewhere"})
    return job.id
