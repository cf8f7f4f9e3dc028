"""`delete`, `db purge`, `report` and `annotate` as commands, on both databases."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import update

from fer_model.networks.cards import limits_of
from fer_model.networks.manifest import read_models
from results.database import reading, writing
from results.jobs import list_jobs, utc_now
from results.read.status import job_status
from results.tables import Job
from tests.support.answers_job import add_job, answered
from workers.models import store
from workers.settings import Settings


def aged(database: Database, job_id: str, **values: object) -> None:
    with writing(database) as session:
        ended = utc_now(session) - timedelta(days=40)
        session.execute(update(Job).where(Job.id == job_id).values(finished_at=ended, **values))


def left(database: Database) -> list[str]:
    with reading(database) as session:
        return [job.id for job in list_jobs(session)]


def test_purge_says_what_it_would_do_and_does_it(database: Database, tmp_path: Path) -> None:
    job_id = add_job(database)
    crops = tmp_path / "crops" / job_id
    crops.mkdir(parents=True)
    aged(database, job_id, options={"keep_crops": str(crops.parent)})
    assert answered(database, "db", "purge", "--older-than", "41d").stdout == "0 jobs deleted\n"
    told = answered(database, "db", "purge", "--older-than", "30d", "--dry-run")
    said = f"{job_id} (test): would be deleted, 41 frames and 81 faces\n1 jobs would be deleted\n"
    assert told.stdout == said and left(database) == [job_id] and crops.exists()
    told = answered(database, "db", "purge", "--older-than", "30d")
    assert told.stdout == said.replace("would be ", "") and left(database) == [] and not crops.exists()


@pytest.mark.parametrize("age", ["30", "0d", "-1d", "soon"])
def test_an_age_is_a_number_with_its_unit(database: Database, age: str) -> None:
    assert answered(database, "db", "purge", "--older-than", age).exit_code == 2


def test_delete_removes_crops_and_says_which_it_cannot_reach(database: Database, tmp_path: Path) -> None:
    job_id = add_job(database)
    crops = tmp_path / "crops" / job_id
    crops.mkdir(parents=True)
    aged(database, job_id, options={"keep_crops": str(crops.parent)})
    told = answered(database, "delete", job_id)
    assert told.stdout == f"{job_id}: deleted\n" and told.stderr == "" and not crops.exists() and left(database) == []
    elsewhere = add_elsewhere(database)
    told = answered(database, "delete", elsewhere)
    assert f"the pictures of faces in /elsewhere/{elsewhere} are not on this machine" in told.stderr


def add_elsewhere(database: Database) -> str:
    from results.jobs import create_job

    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={"keep_crops": "/elsewhere"})
    return job.id


def test_report_writes_one_file(database: Database, tmp_path: Path) -> None:
    add_job(database)
    told = answered(database, "report", "-o", str(tmp_path / "report.html"))
    assert told.exit_code == 0 and "MB" in told.stderr
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "A file is missing or incomplete" in page
    assert answered(database, "report").exit_code == 2


def test_a_report_of_a_running_job_says_so(database: Database, tmp_path: Path) -> None:
    add_job(database, finished=False)
    told = answered(database, "report", "-o", str(tmp_path / "report.html"))
    assert told.exit_code == 0 and "is still running" in told.stderr
    assert "is still running" in (tmp_path / "report.html").read_text()


def test_the_shipped_models_limits_are_known(database: Database) -> None:
    job_id = add_job(database)
    with writing(database) as session:
        ensemble = store.register(session, Settings().models_dir, read_models())
        from results.tables import Shard

        session.execute(update(Shard).values(ensemble_id=ensemble.id))
    with reading(database) as session:
        found = limits_of(job_status(session, job_id).models)
    assert len(found) == 3 and all(len(text) > 40 for text in found.values())


def test_annotate_goes_on_where_files_are_gone(database: Database, tmp_path: Path) -> None:
    add_job(database)
    told = answered(database, "annotate", "-o", str(tmp_path / "new"))
    assert told.exit_code == 1 and told.stderr.count("does not exist") == 3 and not list((tmp_path / "new").iterdir())
