"""`annotate` without the files of the job."""

from pathlib import Path

from sqlalchemy import Engine as Database

from tests.support.answers_job import add_job, answered


def test_annotate_goes_on_where_files_are_gone(database: Database, tmp_path: Path) -> None:
    add_job(database)
    result = answered(database, "annotate", "-o", str(tmp_path / "new"))
    assert result.exit_code == 1 and result.stderr.count("does not exist") == 3
    assert not list((tmp_path / "new").iterdir())
