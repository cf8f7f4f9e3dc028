"""Where a reader of a timeline may want to go: changes, peaks, doubtful stretches and gaps."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from statistics import fmean, pstdev

from results.emotions import EMOTIONS
from results.read.overview import BRIDGED, Overview, Run, Seen

UNSURE = 0.5
"""Faces below this confidence are doubtful, as in the view `media_quality`."""

AROUND = 3
"""A peak is the highest of so many steps before and after it."""

NEUTRAL = EMOTIONS.index("neutral")

Stretch = tuple[int, int]
"""The first step, and how many."""


def changes(tracks: Iterable[list[Run]]) -> list[int]:
    """The steps at which one of the tracks turns from one emotion to another."""
    pairs = (pair for track in tracks for pair in pairwise(track))
    return sorted({after.first for before, after in pairs if before.emotion != after.emotion})


def peaks(seen: dict[int, Seen]) -> list[int]:
    """The steps at which expression, the sum of all probabilities but neutral's, is highest among its neighbours.

    Only those count that rise above the mean by a standard deviation.
    """
    strength = {step: 1 - each.scores[NEUTRAL] for step, each in seen.items()}
    if len(strength) < 2:
        return []
    least = fmean(strength.values()) + pstdev(strength.values())
    return [step for step, value in strength.items() if value > least and _is_highest(strength, step)]


def _is_highest(strength: dict[int, float], step: int) -> bool:
    """Whether no neighbour is higher, and no earlier one as high."""
    before = (strength.get(other, 0.0) for other in range(step - AROUND, step))
    after = (strength.get(other, 0.0) for other in range(step + 1, step + AROUND + 1))
    return all(strength[step] > other for other in before) and all(strength[step] >= other for other in after)


def unsure(seen: dict[int, Seen]) -> list[int]:
    """The first steps of the stretches of low confidence."""
    return [first for first, _ in stretches(step for step, each in seen.items() if each.confidence < UNSURE)]


def low_quality(seen: dict[int, Seen]) -> list[Stretch]:
    """Where the faces' quality is low on average."""
    return stretches((step for step, each in seen.items() if each.is_low), bridged=BRIDGED)


def faceless(view: Overview) -> list[Stretch]:
    """Where frames were processed and none had a face."""
    return stretches((step for step in view.frames if step not in view.seen), bridged=BRIDGED)


def skipped(view: Overview) -> list[Stretch]:
    """Where no frame was processed, for longer than frames may be apart."""
    missing = stretches(step for step in range(view.steps) if step not in view.frames)
    return [(first, steps) for first, steps in missing if steps > BRIDGED]


def stretches(steps: Iterable[int], bridged: int = 0) -> list[Stretch]:
    """Consecutive steps as stretches, in which at most `bridged` steps in a row may be missing."""
    return list(_stretches(sorted(steps), bridged))


def _stretches(steps: list[int], bridged: int) -> Iterator[Stretch]:
    first = None
    for place, step in enumerate(steps):
        first = step if first is None else first
        if place + 1 == len(steps) or steps[place + 1] > step + 1 + bridged:
            yield first, step - first + 1
            first = None
