"""Migrations: from nothing to the present tables and back, in processes at once, and of databases with rows."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine as Database
from sqlalchemy import inspect, text

from results import database as database_module
from results.database import (
    check_revision,
    connect,
    current_revision,
    head_revision,
    prepare,
    reading,
    upgrade,
    writing,
)
from results.errors import DatabaseOutdatedError, DatabaseTooNewError
from results.jobs import create_job, list_jobs
from results.tables import Job


def test_models_and_migrations_agree(database: Database) -> None:
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Job.metadata) == []


def test_checks_of_models_and_migrations_agree(database: Database) -> None:
    found = {check["name"] for table in Job.metadata.tables for check in inspect(database).get_check_constraints(table)}
    promised = {c.name for t in Job.metadata.tables.values() for c in t.constraints if str(c.name).startswith("ck_")}
    assert found == promised


def test_downgrade_leaves_nothing(database_url: str) -> None:
    upgrade(database_url)
    database = connect(database_url)
    with database.begin() as connection:
        command.downgrade(database_module._alembic_config(connection), "base")
    assert set(inspect(database).get_table_names()) <= {"alembic_version", "sqlite_sequence"}
    assert inspect(database).get_view_names() == []
    assert current_revision(database) is None
    database.dispose()


def test_revisions_are_those_of_alembic() -> None:
    scripts = ScriptDirectory.from_config(database_module._alembic_config())
    known = [script.revision for script in scripts.walk_revisions()]
    assert database_module._revisions() == known[::-1]
    assert scripts.get_heads() == [head_revision()]


def test_upgrade_is_repeatable_and_works_from_anywhere(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = connect(database_url)
    with pytest.raises(DatabaseOutdatedError, match="no tables yet; run `fer-batch db upgrade`"):
        check_revision(database)
    upgrade(database_url)
    upgrade(database_url)
    check_revision(database)
    assert current_revision(database) == head_revision()
    database.dispose()


def test_wider_counts_keep_grants_and_the_views_of_others(postgresql: Callable[[], str]) -> None:
    url = postgresql()
    upgrade(url)
    database = connect(url)
    with database.begin() as connection:
        command.downgrade(database_module._alembic_config(connection), "0008")
        connection.execute(text("GRANT SELECT ON job_progress TO PUBLIC"))
        connection.execute(text("CREATE VIEW of_an_analyst AS SELECT job_id, frames FROM job_progress"))
    upgrade(url)
    with database.begin() as connection:
        command.downgrade(database_module._alembic_config(connection), "0008")
    upgrade(url)
    with database.connect() as connection:
        rights = connection.scalar(text("SELECT relacl::text FROM pg_class WHERE relname = 'job_progress'"))
        assert "=r/" in str(rights)
        assert connection.execute(text("SELECT * FROM of_an_analyst")).all() == []
    database.dispose()


def test_numbers_of_media_are_not_reused_after_going_back_and_forth(tmp_path: Path) -> None:
    upgrade(url := f"sqlite:///{tmp_path / 'results.db'}")
    database = connect(url)
    with database.begin() as connection:
        command.downgrade(database_module._alembic_config(connection), "0008")
        made = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = 'media'"))
    assert "AUTOINCREMENT" in str(made)
    database.dispose()


@pytest.mark.parametrize("view", ["emotion_timeline", "track_timeline", "media_quality", "face_affect"])
def test_a_view_that_is_asked_for_one_job_reads_no_other_job_s_rows(tmp_path: Path, view: str) -> None:
    upgrade(url := f"sqlite:///{tmp_path / 'results.db'}")
    database = connect(url)
    with database.connect() as connection:
        plan = connection.execute(text(f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE job_id = 'a'"))
        steps = [step.detail for step in plan]
    database.dispose()
    assert not [step for step in steps if step.startswith(("SCAN frames", "SCAN faces", "SCAN media"))]


def test_a_database_with_rows_is_migrated_by_db_upgrade_alone(database_url: str) -> None:
    database = connect(database_url)
    prepare(database_url)
    with database.begin() as connection:
        command.downgrade(database_module._alembic_config(connection), "0004")
    prepare(database_url)
    assert current_revision(database) == head_revision(), "it is empty"
    with writing(database) as session:
        create_job(session, kind="batch", name=None, options={})
    prepare(database_url)
    with database.begin() as connection:
        command.downgrade(database_module._alembic_config(connection), "0004")
    with pytest.raises(
        DatabaseOutdatedError, match=rf"at revision 0004 .* needs {head_revision()}; run `fer-batch db upgrade --db "
    ):
        prepare(database_url)
    assert current_revision(database) == "0004"
    upgrade(database_url)
    prepare(database_url)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNewError):
        prepare(database_url)
    database.dispose()


def test_an_upgrade_takes_signatures_out_of_the_media_of_finished_jobs(database_url: str) -> None:
    database = connect(database_url)
    with database.begin() as connection:
        command.upgrade(database_module._alembic_config(connection), "0004")
    signed, key = "https://host/a.mp4?X-Amz-Signature=b?c", "s3://bucket/a?b.mp4"
    with database.begin() as connection:
        for job, end in (("1", "'2026-11-26'"), ("2", "NULL")):
            columns = "id, kind, state, options, queue, created_at, finished_at"
            values = f"'{job}', 'batch', 'done', '{{}}', 'batch', '2026-11-26', {end}"
            connection.execute(text(f"INSERT INTO jobs ({columns}) VALUES ({values})"))
            for position, uri in enumerate((signed, key)):
                row = {"job": job, "place": position, "uri": uri}
                columns = "job_id, position, uri, kind, state"
                statement = f"INSERT INTO media ({columns}) VALUES (:job, :place, :uri, 'video', 'done')"
                connection.execute(text(statement), row)
    upgrade(database_url)
    with database.connect() as connection:
        rows = connection.execute(text("SELECT uri, query FROM media ORDER BY job_id, position")).all()
    assert rows == [("https://host/a.mp4", "X-Amz-Signature=b?c"), (key, None), (signed, None), (key, None)]
    database.dispose()


def test_processes_upgrade_at_once(database_url: str) -> None:
    code = "import sys; from results.database import upgrade; upgrade(sys.argv[1])"
    root = Path(database_module.__file__).parent.parent
    running = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, database_url], cwd=root, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        assert (process.communicate()[1], process.returncode) == (b"", 0)


def test_a_newer_database_is_refused(database_url: str) -> None:
    upgrade(database_url)
    database = connect(database_url)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNewError):
        check_revision(database)
    with pytest.raises(DatabaseTooNewError):
        upgrade(database_url)
    database.dispose()


def test_missing_tables_are_said_to_be_missing(database_url: str) -> None:
    database = connect(database_url)
    with pytest.raises(DatabaseOutdatedError, match="fer-batch db upgrade"), reading(database) as session:
        list_jobs(session)
    database.dispose()
