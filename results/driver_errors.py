"""Errors of the database drivers as errors of this package, each one clear sentence."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from results.errors import (
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseOutdatedError,
    DatabaseReadOnlyError,
    DatabaseUnreachableError,
    ResultsError,
)
from results.urls import describe, file_of, parse_url

# PostgreSQL's SQLSTATE classes: connection failure, bad login, no such database, server shutdown; and the end of a
# session that was idle in a transaction (`database.LOCKS_S`).
UNREACHABLE = ("08", "28", "3D", "57P", "25P03")
LOCK_NOT_AVAILABLE, DEADLOCK, READ_ONLY, NO_TABLE, NO_COLUMN, DISK_FULL = (
    "55P03", "40P01", "25006", "42P01", "42703", "53100"
)  # fmt: skip


@contextmanager
def translate_errors(url: str | URL) -> Iterator[None]:
    """Inside, errors of the driver of the database at `url` become `ResultsError`s.

    Raises:
        DatabaseUnreachableError, DatabaseReadOnlyError, DatabaseFullError, DatabaseBusyError, DatabaseOutdatedError:
            each names the database, its password masked. Other errors pass unchanged.
    """
    try:
        yield
    except DBAPIError as error:
        translated = _postgresql(error, url) if hasattr(error.orig, "sqlstate") else _sqlite(error, url)
        if translated is None:
            raise
        raise translated from error
    except sqlite3.Error as error:
        # Of a statement that does not go through SQLAlchemy, such as VACUUM.
        if (translated := _sqlite(DBAPIError("", None, error), url)) is None:
            raise
        raise translated from error
    except PoolTimeout as error:
        raise _busy(url) from error


def _postgresql(error: DBAPIError, url: str | URL) -> ResultsError | None:
    state = getattr(error.orig, "sqlstate", None)
    if (state is None and _kind(error) == "OperationalError") or (state or "").startswith(UNREACHABLE):
        return _unreachable(error, url)
    if state == DISK_FULL:
        return full(url)
    if state == READ_ONLY:
        return _read_only(url)
    if state in (NO_TABLE, NO_COLUMN):
        return _outdated(url)
    return _busy(url) if state in (LOCK_NOT_AVAILABLE, DEADLOCK) else None


def _sqlite(error: DBAPIError, url: str | URL) -> ResultsError | None:
    name = getattr(error.orig, "sqlite_errorname", "")
    if name.startswith("SQLITE_READONLY") or (name == "SQLITE_CANTOPEN" and _folder_is_read_only(url)):
        return _read_only(url)
    if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and _disk_is_full(url)):
        return full(url)
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_IOERR")):
        return _unreachable(error, url)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _busy(url)
    return _outdated(url) if str(error.orig).startswith(("no such table", "no such column")) else None


def _kind(error: DBAPIError) -> str:
    return type(error.orig).__name__


def _unreachable(error: DBAPIError, url: str | URL) -> ResultsError:
    reason = str(error.orig).strip().splitlines() or [_kind(error)]
    return DatabaseUnreachableError(f"The database {describe(url)} cannot be reached: {reason[0].rstrip('.')}.")


def full(url: str | URL) -> ResultsError:
    """The error for a database on a full disk."""
    return DatabaseFullError(f"There is no room left on the disk of the database {describe(url)}; make room.")


def _read_only(url: str | URL) -> ResultsError:
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not file_of(url).exists():
        return DatabaseReadOnlyError(
            f"The folder of the database {describe(url)}, which does not exist yet, cannot be written to; name another "
            "place with --db."
        )
    return DatabaseReadOnlyError(f"The database {describe(url)} can be read but not written.")


def _busy(url: str | URL) -> ResultsError:
    return DatabaseBusyError(f"The database {describe(url)} stayed locked by another program; try again.")


def _outdated(url: str | URL) -> ResultsError:
    return DatabaseOutdatedError(
        f"The database {describe(url)} lacks tables of this fer-batch; run `fer-batch db upgrade`."
    )


def _disk_is_full(url: str | URL) -> bool:
    # SQLite calls it an I/O error where it finds no room for the index of its log, 32 kB.
    folder = file_of(url).parent
    return folder.is_dir() and shutil.disk_usage(folder).free < 2**16


def _folder_is_read_only(url: str | URL) -> bool:
    folder = file_of(url).parent
    return folder.is_dir() and not os.access(folder, os.W_OK)
