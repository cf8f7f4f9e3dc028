"""The seven emotions as SQL: their order, their means, and which one is dominant."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Label, and_, case, func

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def means(columns: Any) -> list[Label[float]]:
    """The mean of each probability among `columns` (a table's `.c`), each labelled with its emotion."""
    return [func.avg(columns[name]).label(name) for name in EMOTIONS]


def dominant(values: Sequence[ColumnElement[float]]) -> ColumnElement[str | None]:
    """The name of the largest of the seven `values`, in the order of `EMOTIONS`; NULL if they are NULL.

    Of equal values the first wins.
    """
    return case((values[0].is_(None), None), *zip(_wins(values), EMOTIONS, strict=False), else_=EMOTIONS[-1])


def strongest(values: Sequence[ColumnElement[float]]) -> ColumnElement[float]:
    """The largest of the seven `values`."""
    return case(*zip(_wins(values), values, strict=False), else_=values[-1])


def _wins(values: Sequence[ColumnElement[float]]) -> list[ColumnElement[bool]]:
    """For each value but the last, whether it is the largest, given that no earlier one is.

    CASE evaluates them in order, so each is compared with the later values only. GREATEST would be shorter, but
    SQLite spells it differently.
    """
    return [and_(*(value >= later for later in values[i + 1 :])) for i, value in enumerate(values[:-1])]
