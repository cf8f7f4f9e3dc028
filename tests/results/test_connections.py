"""Connections to PostgreSQL: when they are checked, and which statements need no transaction."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine as Database
from sqlalchemy import text

from results import database as database_module
from results.database import connect, looking, reading, writing
from tests.support.databases import NewDatabase


@pytest.fixture
def server(postgresql: NewDatabase) -> Iterator[Database]:
    database = connect(postgresql(), connections=1)
    yield database
    database.dispose()


def session_of(database: Database) -> int:
    with reading(database) as session:
        return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())


def end(database: Database, session_id: int) -> None:
    """Ends a session, as a server that restarts does."""
    other = connect(database.url.render_as_string(hide_password=False))
    with writing(other) as session:
        session.execute(text("SELECT pg_terminate_backend(:session)"), {"session": session_id})
    other.dispose()


def test_a_connection_is_checked_after_a_pause_and_not_before(
    server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Any] = []
    check = server.dialect.do_ping

    def note(connection: Any) -> bool:
        checked.append(connection)
        return bool(check(connection))

    monkeypatch.setattr(server.dialect, "do_ping", note)
    monkeypatch.setattr(database_module, "FRESH_S", 3600)
    first = session_of(server)
    assert session_of(server) == first and not checked
    monkeypatch.setattr(database_module, "FRESH_S", 0)
    assert session_of(server) == first and len(checked) == 1


def test_a_session_that_the_server_ended_is_replaced_after_a_pause(
    server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "FRESH_S", 0)
    first = session_of(server)
    end(server, first)
    assert session_of(server) != first


def test_looking_opens_no_transaction_and_leaves_the_next_one_as_it_was(server: Database) -> None:
    with looking(server) as session:
        driver: Any = session.connection().connection.driver_connection
        assert session.execute(text("SELECT 1")).scalar_one() == 1
        assert driver.info.transaction_status == TransactionStatus.IDLE
    with writing(server) as session:
        session.execute(text("CREATE TABLE kept (n int)"))
        assert driver.info.transaction_status == TransactionStatus.INTRANS
        session.rollback()
    with looking(server) as session:
        assert session.execute(text("SELECT to_regclass('kept')")).scalar_one() is None
