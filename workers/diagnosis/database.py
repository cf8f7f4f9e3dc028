"""Checks of the database and its clock, and of the workers that it knows to be absent."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.extras import missing
from results.clock import now
from results.database import check_revision, check_writable, existing, reading
from results.errors import (
    DatabaseOutdatedError,
    DatabaseReadOnlyError,
    DatabaseTooNewError,
    DatabaseUnreachableError,
    DatabaseUrlError,
    ForeignDatabaseError,
    ResultsError,
)
from results.presence import absent_workers
from results.urls import describe
from workers.diagnosis.trouble import Trouble, Unknown, remedy
from workers.settings import Settings

MOST_SKEW_S = 2.0
"""Times of streams and of retention come from the workers' clocks, leases from the database's."""

MEND_DATABASE = "free it, or set FER_DATABASE_URL to another database"
MEND_DATABASES: dict[type[Exception], str] = {
    ModuleNotFoundError: "install it with this command; SQLite needs none",
    DatabaseOutdatedError: "run `fer-batch db upgrade`",
    DatabaseTooNewError: "install that version (`git pull && pip install .`), or set FER_DATABASE_URL to another",
    ForeignDatabaseError: "set FER_DATABASE_URL to another database; this one is another program's",
    DatabaseReadOnlyError: "set FER_DATABASE_URL to the primary server, or give this user the right to write",
    DatabaseUrlError: "set FER_DATABASE_URL to sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
    DatabaseUnreachableError: "create it (`fer-batch db upgrade`), start its server, or set FER_DATABASE_URL",
}


def database(settings: Settings) -> str:
    """Whether the database is there, ours, at this program's revision, and writable. Raises `Trouble`."""
    try:
        with opened(settings) as found:
            check_writable(found)
    except ResultsError as error:
        raise Trouble(str(error), remedy(error, MEND_DATABASES, MEND_DATABASE)) from error
    return f"{describe(settings.database_url)} is up to date"


def clock(settings: Settings, local: Callable[[], float] = time.time) -> str:
    """Whether the clocks of this machine and of the database's server agree. Raises `Trouble`, `Unknown`.

    `local` gives seconds since 1970.
    """
    try:
        with opened(settings) as found:
            if found.dialect.name != "postgresql":
                return "SQLite has this machine's"
            skew_s = _skew_s(found, local)
    except ResultsError as error:
        raise Unknown("not known without the database") from error
    if abs(skew_s) > MOST_SKEW_S:
        raise Trouble(
            f"this machine's clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} the database's",
            "synchronise the machine that is wrong: `timedatectl set-ntp true`",
        )
    return f"agrees with the database's to {max(abs(skew_s), 0.01):.2f} s"


def files(settings: Settings) -> str:
    """Whether every worker sees its files. Raises `Trouble`, `Unknown`."""
    try:
        with opened(settings) as found, reading(found) as session:
            absent = absent_workers(session)
    except ResultsError as error:
        raise Unknown("not known without the database") from error
    if absent:
        lost = "; ".join(f"{each.worker}: {each.uris[-1]}" for each in absent)
        raise Trouble(
            f"{len(absent)} took themselves out, because files are missing on their hosts ({lost})",
            "mount the share on those hosts; the workers look again every few seconds",
        )
    return "no worker has taken itself out for missing files"


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database, while it is needed. Raises `ResultsError` unless it is there and at this program's revision."""
    try:
        found = existing(settings.database_url)
    except ModuleNotFoundError as error:
        raise ResultsError(missing(error) or str(error)) from error
    try:
        check_revision(found)
        yield found
    finally:
        found.dispose()


def _skew_s(found: Database, local: Callable[[], float]) -> float:
    """How far this machine's clock is ahead, in seconds."""
    with reading(found) as session:
        # The first statement connects.
        session.execute(select(1))
        before = local()
        theirs: datetime = session.execute(select(now)).scalar_one()
        return (before + local()) / 2 - theirs.timestamp()
