"""Bulk inserts, by the fastest way that each database has."""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from results.columns import Base

T = TypeVar("T")


def portions(items: Sequence[T], size: int = 1000) -> Iterator[Sequence[T]]:
    """The items in portions: a statement of PostgreSQL takes 65,535 parameters, and one of SQLite 32,766."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def insert_rows(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], **same: Any) -> None:
    """Inserts rows that all have the same keys, the table's columns; `same` are columns with one value for all rows.

    COPY on PostgreSQL, one prepared statement on SQLite: SQLAlchemy's own bulk insert spends most of its time on
    converting each row for types that these columns do not have. Columns in `same` override those of the rows.

    Raises:
        sqlalchemy.exc.DBAPIError: as any statement.
    """
    if not rows:
        return
    columns = [name for name in rows[0] if name not in same]
    pick, constant = itemgetter(*columns), tuple(same.values())
    values = ((*pick(row), *constant) for row in rows)
    put = _copy if session.get_bind().dialect.name == "postgresql" else _execute
    put(session.connection(), table.__tablename__, [*columns, *same], values)


def _execute(connection: Connection, table: str, columns: Sequence[str], values: Any) -> None:
    places = ", ".join("?" * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", list(values))


def _copy(connection: Connection, table: str, columns: Sequence[str], values: Any) -> None:
    import psycopg

    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in values:
                copy.write_row(row)
    except psycopg.Error as error:
        # As SQLAlchemy does for its own statements: `translate_errors` handles no others.
        raise DBAPIError.instance(statement, None, error, psycopg.Error, dialect=connection.dialect) from error
