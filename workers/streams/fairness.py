"""How the detector's time is shared among streams, and how many streams fit on it."""

from collections.abc import Iterable, Sequence
from math import inf

from workers.streams.speed import USABLE

LEAST_FPS = 5.0
"""The frame rate that each stream of a hub must be able to have; a stream with a lower `--fps` needs that."""


def fair_level(demands: Sequence[float], capacity: float) -> float:
    """The frame rate at which demands are cut off so that they sum up to `capacity`; infinite if all of them fit.

    Max-min fairness by water-filling (Bertsekas and Gallager, Data Networks, 1992, section 6.5.2): no stream gets
    more by taking from one that has less.
    """
    left = capacity
    for rank, demand in enumerate(sorted(demands)):
        level = left / (len(demands) - rank)
        if demand > level:
            return level
        left -= demand
    return inf


def fits(held: Iterable[float | None], another: float | None, speed: float) -> bool:
    """Whether another stream fits beside those that are held, by their `--fps`; `speed` in frames a second.

    The first stream always fits: on a slow machine it gets what there is.
    """
    needed = [min(fps or LEAST_FPS, LEAST_FPS) for fps in (*held, another)]
    return len(needed) == 1 or sum(needed) <= USABLE * speed
