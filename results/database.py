"""Connections, sessions and migrations; errors of the driver become errors of this package.

On SQLite a transaction takes the write lock when it begins, so that two writers queue instead of failing
halfway with 'database is locked'. `reading` opts out: readers take no lock, and can read a file that is
not writable. A SQLAlchemy engine is called `database` everywhere, because an engine here runs networks.
"""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, create_engine, event, inspect, text
from sqlalchemy import Engine as Database
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session

from results.driver_errors import full, translate_errors
from results.errors import (
    DatabaseBusyError,
    DatabaseOutdatedError,
    DatabaseTooNewError,
    DatabaseUnreachableError,
    ForeignDatabaseError,
)
from results.urls import describe, file_of, parse_url

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
# An arbitrary constant that no other program on the same server may use.
MIGRATION_LOCK = 0x0FE2_BA7C
BUSY_TIMEOUT_S = 30.0
RESERVE_BYTES = 2**17
SILENCE = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
"""libpq's limits for a server that was cut off: a connection fails after 20 s without a sign of the server, whether it
waits for an answer (`keepalives`) or for an acknowledgement (`tcp_user_timeout`). The operating system would wait for
two hours, or a quarter of an hour. libpq ignores all four on a Unix socket."""
FRESH_S = 0.1
"""Seconds after its last use within which a connection is not checked again: the check is a round trip."""
LOCK_S = 30
"""Seconds that a statement waits for another's lock, as on SQLite (`BUSY_TIMEOUT_S`)."""
LOCKS_S = 60
"""Seconds after which a client that is cut off, or stopped, in the middle of a transaction loses its locks."""


def connect(url: str, connections: int | None = None, locks_s: float | None = None) -> Database:
    """The database at `url`; opens no connection before the first use.

    With `connections` never more than so many to PostgreSQL; threads that need another wait. There a client that stops
    in the middle of a transaction loses its locks after `locks_s` (`LOCKS_S`) seconds.

    Raises:
        DatabaseUrlError: `url` is neither an SQLite nor a PostgreSQL URL.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        # A worker may sit idle for hours behind a firewall that forgets connections.
        limit: dict[str, Any] = {"pool_size": connections, "max_overflow": 0} if connections else {}
        arguments = _postgresql_args(parsed, locks_s or LOCKS_S)
        database = create_engine(parsed, pool_recycle=1800, connect_args=arguments, **limit)
        _ping_after_a_pause(database)
        return database
    database = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(database, "connect", _prepare_sqlite)
    event.listen(database, "begin", _begin_sqlite)
    return database


def existing(url: str, locks_s: float | None = None) -> Database:
    """As `connect`, but never creates a file: SQLite would create an empty one without tables.

    Raises:
        DatabaseUnreachableError: there is no such file.
    """
    database = connect(url, locks_s=locks_s)
    if database.dialect.name == "sqlite" and not file_of(database.url).exists():
        raise DatabaseUnreachableError(
            f"There is no database {describe(database.url)}; `fer-batch run` makes one, --db names another."
        )
    return database


@contextmanager
def writing(database: Database) -> Iterator[Session]:
    """One transaction that may write: committed at the end, rolled back on any exception.

    Raises:
        DatabaseUnreachableError, DatabaseReadOnlyError, DatabaseBusyError, DatabaseOutdatedError.
    """
    with translate_errors(database.url), Session(database, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(database: Database) -> Iterator[Session]:
    """A session that only reads; raises as `writing`."""
    with translate_errors(database.url), Session(database.execution_options(only_reads=True)) as session:
        session.expire_on_commit = False
        yield session


@contextmanager
def looking(database: Database) -> Iterator[Session]:
    """As `reading`, for one statement that fetches no rows lazily: on PostgreSQL without BEGIN and ROLLBACK.

    Each of them is a round trip, and a statement alone sees what is committed when it begins.
    """
    alone = database.dialect.name == "postgresql"
    with reading(database.execution_options(isolation_level="AUTOCOMMIT") if alone else database) as session:
        yield session


def upgrade(url: str) -> None:
    """Migrates the database at `url` to this program's revision; creates the tables if there are none.

    Safe in several processes at once: one migrates, the others wait.

    Raises:
        DatabaseTooNewError: a newer fer-batch migrated this database.
        ForeignDatabaseError: another program made it; nothing is written.
        DatabaseUnreachableError, DatabaseReadOnlyError, DatabaseBusyError, DatabaseUrlError.
    """
    from alembic import command

    database = connect(url)
    try:
        with reading(database) as session:
            # Before WAL is set, which writes to the file.
            _refuse_foreign(session.connection())
    finally:
        database.dispose()
    if database.dialect.name == "sqlite":
        event.listen(database, "connect", _prepare_migration)
    try:
        with translate_errors(database.url), database.begin() as connection:
            if database.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            if _revision(connection) != head_revision():
                _check(_revision(connection), allow_older=True)
                command.upgrade(_alembic_config(connection), "head")
    finally:
        database.dispose()


def prepare(url: str) -> None:
    """As `upgrade`, but never migrates a database that holds rows: older workers may be at work on it.

    Raises:
        DatabaseOutdatedError: it holds rows and is older; the message names the command.
    """
    database = connect(url)
    try:
        with reading(database) as session:
            _refuse_foreign(session.connection())
            revision = _revision(session.connection())
            holds_rows = revision is not None and _holds_rows(session.connection())
    finally:
        database.dispose()
    if revision != head_revision() and holds_rows:
        _check(revision, allow_older=True)
        raise DatabaseOutdatedError(
            f"The database {describe(database.url)} is at revision {revision} and this fer-batch needs "
            f"{head_revision()}; run `fer-batch db upgrade --db {describe(database.url)}`. Workers of the earlier "
            "version go on meanwhile, and may be replaced one by one afterwards."
        )
    if revision != head_revision():
        upgrade(url)


def _holds_rows(connection: Connection) -> bool:
    tables = ("jobs", "models") if inspect(connection).has_table("models") else ("jobs",)
    return any(connection.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first() for name in tables)


def head_revision() -> str:
    """The newest revision in this program's migrations."""
    return _revisions()[-1]


def current_revision(database: Database) -> str | None:
    """The revision of the database; None if it has none of our tables. Raises as `reading`."""
    with reading(database) as session:
        return _revision(session.connection())


def check_revision(database: Database) -> None:
    """Checks that the database is at this program's revision.

    Raises:
        DatabaseOutdatedError: it is older, or empty.
        DatabaseTooNewError: it is newer.
        ForeignDatabaseError: another program made it.
        DatabaseUnreachableError.
    """
    with reading(database) as session:
        _refuse_foreign(session.connection())
        revision = _revision(session.connection())
    _check(revision)


def check_writable(database: Database) -> None:
    """Writes one page. Raises as `writing`, but not if the database is busy, which proves that others can write."""
    with suppress(DatabaseBusyError), writing(database) as session:
        session.execute(text("UPDATE alembic_version SET version_num = version_num"))


def _postgresql_args(url: URL, locks_s: float) -> dict[str, Any]:
    options = " ".join(f"-c {name}={value}" for name, value in _session_settings(locks_s).items())
    defaults = {"connect_timeout": 10, "application_name": "fer-batch", "options": options, **SILENCE}
    return {name: value for name, value in defaults.items() if name not in url.query}


def _session_settings(locks_s: float) -> dict[str, str]:
    """What the server is to do for each of our sessions, whatever its own defaults are."""
    return {
        "idle_in_transaction_session_timeout": f"{locks_s * 1000:.0f}ms",
        "lock_timeout": f"{LOCK_S}s",
        # A count after a lock must see what was committed while it waited.
        "default_transaction_isolation": "read\\ committed",
        # Of a client that was cut off the server learns nothing, and it would keep its locks for two hours.
        "tcp_keepalives_idle": "5s",
        "tcp_keepalives_interval": "5s",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "20s",
    }


def _ping_after_a_pause(database: Database) -> None:
    """As SQLAlchemy's `pool_pre_ping`, but only for a connection that was not used within the last `FRESH_S` seconds.

    A poller goes on after a restart of the server, and a busy worker spares a round trip for each transaction.
    """

    def used(_connection: Any, record: Any) -> None:
        record.info["used"] = monotonic()

    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        if monotonic() - record.info["used"] < FRESH_S:
            return
        try:
            database.dialect.do_ping(connection)
        except database.dialect.loaded_dbapi.Error as error:
            # The pool replaces all connections of before.
            raise InvalidatePoolError from error

    event.listen(database, "connect", used)
    event.listen(database, "checkin", used)
    event.listen(database, "checkout", ping)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Python's sqlite3 would begin transactions itself, at the first write.
    connection.isolation_level = None
    # SQLite's own knows only the letters of ASCII.
    connection.create_function("lower", 1, lambda words: words and str(words).lower(), deterministic=True)
    for pragma in ("foreign_keys=ON", "synchronous=NORMAL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    only_reads = connection.get_execution_options().get("only_reads", False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


def _prepare_migration(connection: Any, _record: Any) -> None:
    # Rebuilding a table must not cascade deletes to others.
    connection.execute("PRAGMA foreign_keys=OFF")
    # WAL is a property of the file, so setting it once is enough. The busy timeout does not cover this lock.
    give_up = monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or monotonic() > give_up:
                raise
            sleep(0.05)


def _alembic_config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revisions() -> list[str]:
    """All revisions of this program, from its migrations' file names: to import Alembic takes each command long."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


@contextmanager
def room_held_back(database: Database) -> Iterator[IO[bytes]]:
    """Occupies `RESERVE_BYTES` on the disk of an SQLite file with a file without a name.

    Close it when the disk is full, so that the end of a shard or of a job can be written. Empty on PostgreSQL, which
    ends transactions in its log.

    Raises:
        DatabaseFullError: there is not that much room.
    """
    if database.dialect.name != "sqlite":
        yield BytesIO()
        return
    with _room(database) as room:
        yield room


def _room(database: Database) -> IO[bytes]:
    try:
        room = tempfile.TemporaryFile(dir=file_of(database.url).parent)  # noqa: SIM115
        os.posix_fallocate(room.fileno(), 0, RESERVE_BYTES)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise full(database.url) from error
        return BytesIO()
    return room


def _refuse_foreign(connection: Connection) -> None:
    """Raises `ForeignDatabaseError` if tables of our names, or Alembic's, are there but not the first of ours."""
    from results.tables import Job

    found = inspect(connection)
    tables = set(found.get_table_names())
    ours = "shards" in tables and "emotion_timeline" in found.get_view_names()
    taken = tables & {"alembic_version", *Job.metadata.tables}
    if taken and not ours and not _is_emptied(connection, taken):
        raise ForeignDatabaseError(
            f"The database {describe(connection.engine.url)} belongs to another program (it has its table "
            f"{min(taken)}); nothing was written. Name another with --db."
        )


def _is_emptied(connection: Connection, taken: set[str]) -> bool:
    """Whether only Alembic's table is there, without a revision, as after a downgrade to nothing."""
    return taken == {"alembic_version"} and _revision(connection) is None


def _check(revision: str | None, allow_older: bool = False) -> None:
    if revision is not None and revision not in _revisions():
        raise DatabaseTooNewError
    if revision is None and not allow_older:
        raise DatabaseOutdatedError("The database has no tables yet; run `fer-batch db upgrade`, or submit a job.")
    if revision != head_revision() and not allow_older:
        raise DatabaseOutdatedError
