"""Short and lasting outages of the database."""

from collections.abc import Callable
from typing import Any

from results.errors import DatabaseUnreachableError


def away_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but its first call meets an outage."""
    outage = [DatabaseUnreachableError()]

    def call(*given: Any, **named: Any) -> Any:
        if outage:
            raise outage.pop()
        return function(*given, **named)

    return call


def always_away(*_: object, **__: object) -> None:
    """What any function raises during an outage."""
    raise DatabaseUnreachableError
