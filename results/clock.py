"""The database server's clock inside a statement: reading the time first would cost another round trip."""

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from results.columns import UtcDateTime


class ago(FunctionElement[Any]):
    """The time so many seconds ago, by PostgreSQL's clock; on SQLite by this machine's, to the millisecond."""

    name = "ago"
    type = UtcDateTime()
    inherit_cache = True


now = ago(0.0)


@compiles(ago, "postgresql")
def _postgresql(element: ago, compiler: Any, **options: Any) -> str:
    return f"(clock_timestamp() - make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(ago, "sqlite")
def _sqlite(element: ago, compiler: Any, **options: Any) -> str:
    # In the format of SQLAlchemy: SQLite compares times as text, so they need the same number of digits.
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', (-{seconds}) || ' seconds')"
