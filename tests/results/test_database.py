"""Connecting to databases, migrating them, and the errors when that fails."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from urllib.parse import quote

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine as Database
from sqlalchemy import inspect, select, text, update

from results import database as database_module
from results.bulk import insert_rows
from results.database import (
    check_revision,
    connect,
    current_revision,
    existing,
    head_revision,
    prepare,
    reading,
    upgrade,
    writing,
)
from results.driver_errors import translate_errors
from results.errors import (
    DatabaseFullError,
    DatabaseOutdatedError,
    DatabaseReadOnlyError,
    DatabaseTooNewError,
    DatabaseUnreachableError,
    DatabaseUrlError,
)
from results.jobs import create_job, list_jobs
from results.tables import Job, Sweep
from results.urls import describe


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


def test_connections_turn_a_new_sqlite_file_to_wal_at_once(tmp_path: Path) -> None:
    ready = Barrier(6)

    def prepare(path: Path) -> str:
        connection = sqlite3.connect(path, isolation_level=None)
        ready.wait()
        database_module._prepare_migration(connection, None)
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        connection.close()
        return str(mode)

    with ThreadPoolExecutor(6) as pool:
        for turn in range(20):
            assert set(pool.map(prepare, [tmp_path / f"{turn}.db"] * 6)) == {"wal"}


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


def test_times_come_back_in_utc(database: Database) -> None:
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={"a": [1, None]})
    with reading(database) as session:
        stored = session.get_one(Job, job.id)
    assert stored.created_at == job.created_at
    assert stored.created_at.tzinfo is UTC
    assert abs((datetime.now(UTC) - stored.created_at).total_seconds()) < 60
    assert stored.options == {"a": [1, None]}


def test_times_without_a_zone_are_refused(database: Database) -> None:
    with pytest.raises(Exception, match="time zone"), writing(database) as session:
        session.add(Job(kind="batch", options={}, created_at=datetime(2026, 1, 1)))


def test_a_failing_transaction_writes_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), writing(database) as session:
        create_job(session, kind="batch", name=None, options={})
        session.flush()
        _ = 1 / 0
    with reading(database) as session:
        assert list_jobs(session) == []


def test_sqlite_read_only_file(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    upgrade(f"sqlite:///{path}")
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    database = connect(url)
    with reading(database) as session:
        assert list_jobs(session) == []
    with pytest.raises(DatabaseReadOnlyError, match=r"results\.db"), writing(database) as session:
        create_job(session, kind="batch", name=None, options={})
    database.dispose()
    upgrade(url)


def test_deleted_rows_are_overwritten_in_a_sqlite_file(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'results.db'}")
    database = connect(f"sqlite:///{tmp_path / 'results.db'}")
    with reading(database) as session:
        assert session.scalar(text("PRAGMA secure_delete")) == 1
    database.dispose()


def test_a_full_disk_is_one_sentence_for_statements_of_any_kind(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    upgrade(url)
    plain = sqlite3.connect(tmp_path / "results.db")
    plain.execute("PRAGMA max_page_count = 1")
    filler = "INSERT INTO jobs (id, kind, state, options, queue, created_at) VALUES ('1', 'batch', ?, ?, '', '')"
    with pytest.raises(DatabaseFullError, match="make room"), translate_errors(url):
        plain.execute(filler, ("done", "x" * 10**6))
    plain.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_full_disk_of_the_server_is_one_sentence_in_copy_too(database_url: str) -> None:
    upgrade(database_url)
    database = connect(database_url)
    with writing(database) as session:
        session.execute(
            text("""
            CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$""")
        )
        session.execute(text("CREATE TRIGGER full_disk BEFORE INSERT ON sweeps EXECUTE FUNCTION full_disk()"))
    row = {"queue": "batch", "swept_at": datetime.now(UTC)}
    for put in (lambda session: session.add(Sweep(**row)), lambda session: insert_rows(session, Sweep, [row])):
        with pytest.raises(DatabaseFullError, match="make room"), writing(database) as session:
            put(session)
    database.dispose()


def test_sqlite_read_only_while_migrating(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    path.touch()
    with pytest.raises(DatabaseReadOnlyError, match=r"results\.db"):
        upgrade(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_sqlite_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(DatabaseUnreachableError, match="a-file"):
        upgrade(f"sqlite:///{tmp_path}/a-file/results.db")


def test_sqlite_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "results.db").write_text("dear diary " * 1000)
    with pytest.raises(DatabaseUnreachableError, match="not a database"):
        upgrade(f"sqlite:///{tmp_path}/results.db")


@pytest.mark.parametrize("start", ["file:", "file://", "file://localhost"])
def test_a_uri_that_names_no_file_makes_none(tmp_path: Path, start: str) -> None:
    file = tmp_path / "my results.db"
    url = f"sqlite:///{start}{quote(str(file))}?uri=true"
    with pytest.raises(DatabaseUnreachableError, match="There is no database"):
        existing(url)
    upgrade(url)
    database = existing(url)
    assert file.exists() and current_revision(database) == head_revision()
    database.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_read_only(database_url: str) -> None:
    upgrade(database_url)
    database = connect(f"{database_url}&options=-cdefault_transaction_read_only%3Don")
    with reading(database) as session:
        assert list_jobs(session) == []
    with pytest.raises(DatabaseReadOnlyError), writing(database) as session:
        create_job(session, kind="batch", name=None, options={})
    database.dispose()


@pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)
def test_who_says_nothing_in_the_middle_of_a_transaction_loses_its_locks(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is stopped or cut off must not block its shard for others."""
    monkeypatch.setattr(database_module, "LOCKS_S", 1)
    silent, other = connect(migrated_url), connect(migrated_url)
    with writing(silent) as session:
        create_job(session, kind="batch", name="before", options={})
    with pytest.raises(DatabaseUnreachableError, match="idle"), writing(silent) as session:
        session.execute(update(Job).values(name="silent"))
        with writing(other) as theirs:
            # Waits for the other's lock.
            theirs.execute(update(Job).values(name="other"))
    with reading(other) as session:
        assert session.scalars(select(Job.name)).one() == "other"
    silent.dispose()
    other.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_without_that_database(database_url: str) -> None:
    with pytest.raises(DatabaseUnreachableError, match="does not exist"):
        upgrade(database_url.replace("/fer_", "/missing_"))


def test_postgresql_unreachable_keeps_the_password() -> None:
    with pytest.raises(DatabaseUnreachableError) as caught:
        upgrade("postgresql://anna:s3cret@127.0.0.1:1/fer")
    assert "postgresql://anna:***@127.0.0.1:1/fer" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://anna:s3cret@host/fer", "postgresql://anna:***@host/fer"),
        ("postgresql+psycopg2://host/fer?password=s3cret", "postgresql://host/fer?password=%2A%2A%2A"),
        ("sqlite:////data/fer.db", "sqlite:////data/fer.db"),
        ("sqlite:////data/a@b.db", "sqlite:////data/a%40b.db"),
        ("postgresql://anna:s3@cret@host:5432/fer", "postgresql://anna:***@host:5432/fer"),
        ("postgresql://anna:s3@c/ret@host/fer?host=/x@y", "postgresql://anna:***@host/fer?host=%2Fx%40y"),
        ("postgresql://anna:s3@c?ret@host/fer", "postgresql://anna:***@host/fer"),
        ("postgresql://anna@host/fer", "postgresql://anna@host/fer"),
    ],
)
def test_describe(url: str, shown: str) -> None:
    assert describe(url) == shown
    assert connect(url).url.drivername in ("postgresql+psycopg", "sqlite+pysqlite")


@pytest.mark.parametrize("url", ["fer.db", "mysql://host/fer", "sqlite://", "postgresql://a:s3cret@host:x/fer"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        connect(url)
    assert "s3cret" not in str(caught.value)


def test_a_password_may_contain_an_at_sign_as_it_is() -> None:
    url = connect("postgresql://anna:s3@cr@et@host/fer").url
    assert (url.password, url.host, url.database) == ("s3@cr@et", "host", "fer")
