"""Connecting to databases, migrating them, and the errors when that fails."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from urllib.parse import quote

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, text, update

from results import database as database_module
from results.bulk import insert_rows
from results.database import connect, current_revision, existing, head_revision, reading, upgrade, writing
from results.driver_errors import translate_errors
from results.errors import DatabaseFullError, DatabaseReadOnlyError, DatabaseUnreachableError, DatabaseUrlError
from results.jobs import create_job, list_jobs
from results.tables import Job, Sweep
from results.urls import describe


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
