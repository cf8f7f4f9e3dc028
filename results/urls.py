"""Database URLs: parsing, the file that one names, and masking the password."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from results.errors import DatabaseUrlError


def parse_url(url: str | URL) -> URL:
    """`url` with the driver this program uses: psycopg 3 or Python's sqlite3.

    Raises:
        DatabaseUrlError: it is neither a PostgreSQL URL nor the URL of an SQLite file.
    """
    try:
        parsed = make_url(_quoted(url) if isinstance(url, str) else url)
    except (ArgumentError, ValueError):
        # The cause is left out: it might repeat a password.
        raise DatabaseUrlError from None
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    # Each connection to :memory: would open another database.
    if backend == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite+pysqlite")
    raise DatabaseUrlError


def file_of(url: str | URL) -> Path:
    """The absolute path of an SQLite database, also of one that a URI names. Raises DatabaseUrlError."""
    parsed = parse_url(url)
    name = parsed.database or ""
    return Path(unquote(urlsplit(name).path) if "uri" in parsed.query else name).absolute()


def _quoted(url: str) -> str:
    """`url` with each raw `@` in its password quoted: SQLAlchemy would take what follows the first for the host."""
    scheme, slashes, rest = url.partition("://")
    query = re.search(r"\?[^@?]*=", rest)
    place = rest[: query.start()] if query else rest
    login, _, host = place.rpartition("@")
    user, colon, password = login.partition(":")
    if scheme.startswith("sqlite") or not colon or "@" not in password:
        return url
    return f"{scheme}{slashes}{user}:{password.replace('@', '%40')}@{host}{rest[len(place) :]}"


def describe(url: str | URL) -> str:
    """`url` with its password masked, for messages. Raises DatabaseUrlError."""
    parsed = parse_url(url)
    shown = parsed.set(drivername=parsed.get_backend_name())
    if "password" in shown.query:
        shown = shown.update_query_dict({"password": "***"})
    return shown.render_as_string(hide_password=True)
