"""The one clock that all workers agree on, inside a statement: asking for the time first would be a round trip more."""

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from results.tables import UtcDateTime


class ago(FunctionElement[Any]):
    """The moment so many seconds ago, by PostgreSQL's clock, or on SQLite, to the millisecond, by this machine's."""

    name = "ago"
    type = UtcDateTime()
    inherit_cache = True


now = ago(0.0)


@compiles(ago, "postgresql")
def _postgresql(element: ago, compiler: Any, **options: Any) -> str:
    return f"(clock_timestamp() - make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(ago, "sqlite")
def _sqlite(element: ago, compiler: Any, **options: Any) -> str:
    # As SQLAlchemy writes times: compared as text they must have as many digits.
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', (-{seconds}) || ' seconds')"
