"""What `doctor` finds at the database, and the remedy that it names."""

import time

import pytest
from sqlalchemy import make_url

from results.database import connect, upgrade
from tests.support.databases import NewDatabase
from tests.support.doctor import trouble
from workers.diagnosis import database as checks
from workers.diagnosis.trouble import Unknown
from workers.settings import Settings


def test_a_database_that_is_not_there_behind_ahead_or_foreign(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    assert "fer-batch db upgrade" in trouble(checks.database, settings).mend
    upgrade(database_url)
    assert "is up to date" in checks.database(settings)
    at_revision(database_url, "0003")
    assert trouble(checks.database, settings).mend == "run `fer-batch db upgrade`"
    at_revision(database_url, "9999")
    assert "git pull && pip install ." in trouble(checks.database, settings).mend


def test_a_database_of_another_program(database_url: str) -> None:
    database = connect(database_url)
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE jobs (number INTEGER)")
    database.dispose()
    assert "another program's" in trouble(checks.database, Settings(database_url=database_url)).mend


def at_revision(url: str, revision: str) -> None:
    database = connect(url)
    with database.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    database.dispose()


def test_a_postgresql_user_who_may_not_write(postgresql: NewDatabase) -> None:
    url = make_url(postgresql())
    upgrade(url.render_as_string(hide_password=False))
    read_only = url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    error = trouble(checks.database, Settings(database_url=read_only.render_as_string(hide_password=False)))
    assert "primary server" in error.mend


def test_clocks_that_differ(postgresql: NewDatabase) -> None:
    url = postgresql()
    upgrade(url)
    settings = Settings(database_url=url)
    assert "agrees" in checks.clock(settings)
    for ahead_s, words in ((90.0, "90.0 s ahead of"), (-7.0, "7.0 s behind")):
        error = trouble(checks.clock, settings, lambda by=ahead_s: time.time() + by)
        assert words in str(error) and "set-ntp" in error.mend


def test_a_clock_needs_a_database() -> None:
    with pytest.raises(Unknown):
        checks.clock(Settings(database_url="sqlite:////nowhere/results.db"))
