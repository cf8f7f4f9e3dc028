"""A database that is away for a moment."""

from collections.abc import Callable
from typing import Any

from results.errors import DatabaseUnreachableError


def away_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but the database is away at the first call."""
    outage = [DatabaseUnreachableError()]

    def call(*given: Any, **named: Any) -> Any:
        if outage:
            raise outage.pop()
        return function(*given, **named)

    return call


def always_away(*_: object, **__: object) -> None:
    """What any function does while the database is away."""
    raise DatabaseUnreachableError
