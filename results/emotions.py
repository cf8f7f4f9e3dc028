"""The seven emotions as SQL: their order, their means, which one is dominant, and their projection to affect."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

from sqlalchemy import ColumnElement, Double, Label, and_, case, func, literal_column

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
AFFECT = ("valence", "arousal")
"""The axes of the circumplex model of affect (Russell, 1980), each from -1 to 1."""

CIRCUMPLEX: Mapping[str, tuple[float, float]] = {
    "angry": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happy": (0.81, 0.51),
    "sad": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
    "neutral": (0.0, 0.0),
}
"""Valence and arousal of each emotion: mean ratings of its word (angry, disgusted, fearful, happy, sad, surprised) in
Russell and Mehrabian, "Evidence for a three-factor theory of emotions", Journal of Research in Personality 11, 1977.

Neutral is the origin. The views are generated from this, so a change needs a migration that makes them anew.
"""


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


def affect(values: Sequence[ColumnElement[float]]) -> list[Label[float]]:
    """Valence and arousal, each labelled: the mean of `CIRCUMPLEX` weighted with the seven probabilities `values`.

    A projection of the probabilities, not a measurement. It is linear, so that of the means is the mean of the
    projections. NULL if the values are NULL.
    """
    return [_along(values, axis).label(name) for axis, name in enumerate(AFFECT)]


def _along(values: Sequence[ColumnElement[float]], axis: int) -> ColumnElement[float]:
    places = [CIRCUMPLEX[name][axis] for name in EMOTIONS]
    parts = [v * literal_column(repr(at), Double) for v, at in zip(values, places, strict=True) if at]
    return reduce(add, parts)


def projected(scores: Sequence[float]) -> tuple[float, float]:
    """The same of seven numbers, in the order of `EMOTIONS`."""
    places = [CIRCUMPLEX[name] for name in EMOTIONS]
    valence, arousal = (sum(s * at[axis] for s, at in zip(scores, places, strict=True)) for axis in (0, 1))
    return valence, arousal


def _wins(values: Sequence[ColumnElement[float]]) -> list[ColumnElement[bool]]:
    """For each value but the last, whether it is the largest, given that no earlier one is.

    CASE evaluates them in order, so each is compared with the later values only. GREATEST would be shorter, but
    SQLite spells it differently.
    """
    return [and_(*(value >= later for later in values[i + 1 :])) for i, value in enumerate(values[:-1])]
