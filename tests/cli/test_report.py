"""`report`: one page for a job."""

import re
from pathlib import Path

from sqlalchemy import Engine as Database
from sqlalchemy import update

from fer_model.networks.cards import limits_of
from fer_model.networks.manifest import read_models
from results.database import reading, writing
from results.read.status import job_status
from results.tables import Model, Shard
from tests.support.answers_job import add_job, answered
from workers.models import store
from workers.settings import Settings


def test_report_writes_one_file(database: Database, tmp_path: Path) -> None:
    add_job(database)
    result = answered(database, "report", "-o", str(tmp_path / "report.html"))
    assert result.exit_code == 0 and re.search(r"report\.html: [1-9][0-9,]* kB\n", result.stderr)
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "files failed" in page
    assert answered(database, "report").exit_code == 2


def test_a_report_may_go_to_stdout(database: Database) -> None:
    add_job(database)
    result = answered(database, "report", "-o", "-")
    assert result.exit_code == 0 and result.stdout.endswith("</html>") and " kB" not in result.stderr


def test_a_report_of_a_running_job_says_so(database: Database, tmp_path: Path) -> None:
    add_job(database, finished=False)
    result = answered(database, "report", "-o", str(tmp_path / "report.html"))
    assert result.exit_code == 0 and "is still running" in result.stderr
    assert "is still running" in (tmp_path / "report.html").read_text()


def register_shipped(database: Database) -> None:
    """Has the shipped ensemble have analysed all jobs."""
    with writing(database) as session:
        ensemble = store.register(session, Settings().models_dir, read_models())
        session.execute(update(Shard).values(ensemble_id=ensemble.id))


def test_the_shipped_models_limits_are_known(database: Database) -> None:
    job_id = add_job(database)
    register_shipped(database)
    with reading(database) as session:
        found = limits_of(job_status(session, job_id).models)
    assert len(found) == 3 and all(len(text) > 40 for text in found.values())


def test_a_model_may_have_a_name_that_no_file_can_have(database: Database) -> None:
    add_job(database)
    register_shipped(database)
    with writing(database) as session:
        session.get_one(Model, read_models().members[0].id).name = "long" * 100
    result = answered(database, "report", "-o", "-")
    assert result.exit_code == 0 and "long" * 100 in result.stdout
