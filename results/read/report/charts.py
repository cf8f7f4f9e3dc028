"""Charts of a report, as SVG without text: the SVG is stretched to the width of the page, which text must not be."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from markupsafe import Markup

from results.emotions import AFFECT, EMOTIONS
from results.read.report.facts import Lane, Series
from results.read.times import clock

TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
MAX_TICKS = 6
BRIDGED_MS = 1000
"""Lines go on over shorter gaps."""

LABELLED = 0.07
"""Least share of the width, 0..1, at which a run is labelled with its emotion."""


def stacked(series: Series) -> Markup:
    """The mean probabilities over time, stacked, `EMOTIONS[0]` at the bottom; empty where there is no face."""
    paths: dict[str, list[str]] = {name: [] for name in EMOTIONS}
    for step, row in series.rows.items():
        if row["emotion"] is None:
            continue
        top = 100.0
        for name in EMOTIONS:
            height = 100 * row[name]
            if height >= 0.05:
                paths[name].append(f"M{step} {top - height:.1f}h1v{height:.1f}h-1z")
            top -= height
    return _svg(series.steps, 100, paths)


def affect(series: Series) -> Markup:
    """Valence and arousal over time, -1 at the bottom and 1 at the top; broken where no face is for longer."""
    paths: dict[str, list[str]] = {name: [] for name in AFFECT}
    after = -math.inf
    for step, row in series.rows.items():
        if row["emotion"] is None:
            continue
        goes_on = (step - after) * series.step_ms < BRIDGED_MS
        for name in AFFECT:
            height = f"{50 - 50 * row[name]:.1f}"
            paths[name].append(f"H{step}V{height}h1" if goes_on else f"M{step} {height}h1")
        after = step + 1
    return _svg(series.steps, 100, paths)


def presence(series: Series) -> Markup:
    """The share of the frames with a face, over time."""
    bars = [
        f"M{step} {10 - 10 * row['face_share']:.1f}h1v{10 * row['face_share']:.1f}h-1z"
        for step, row in series.rows.items()
        if row["face_share"] > 0
    ]
    return _svg(series.steps, 10, {"presence": bars})


def lane(series: Series, track: Lane) -> Markup:
    """A track's emotions over time."""
    paths: dict[str, list[str]] = {name: [] for name in EMOTIONS}
    for first, steps, emotion in track.runs:
        paths[emotion].append(f"M{first} 0h{steps}v1h-{steps}z")
    return _svg(series.steps, 1, paths)


def labels(series: Series, track: Lane) -> list[tuple[float, float, str]]:
    """The labels of a lane: left and width in per cent, and the emotion."""
    return [
        (round(100 * first / series.steps, 2), round(100 * steps / series.steps, 2), emotion)
        for first, steps, emotion in track.runs
        if steps / series.steps >= LABELLED
    ]


def bar(shares: Mapping[str, float]) -> Markup:
    """Seven shares that sum to 1, side by side."""
    left = 0.0
    paths: dict[str, list[str]] = {}
    for name in EMOTIONS:
        width = 100 * shares[name]
        paths[name] = [f"M{left:.1f} 0h{width:.1f}v1h-{width:.1f}z"] if width >= 0.05 else []
        left += width
    return _svg(100, 1, paths)


def ticks(series: Series, began: datetime | None = None) -> list[tuple[float, str]]:
    """The labels of a video's time axis: position in per cent of its length, and text.

    With `began`, of an hour of a stream, the text is the time of day.
    """
    length = series.steps * series.step_ms
    step = 1000 * next((tick for tick in TICKS_S if length / tick <= 1000 * MAX_TICKS), TICKS_S[-1])
    form = "%H:%M" if step % 60_000 == 0 else "%H:%M:%S"
    at = (lambda ms: (began + timedelta(milliseconds=ms)).strftime(form)) if began else clock
    return [(round(100 * ms / length, 2), at(ms)) for ms in range(0, length, step)]


def _svg(width: int, height: int, paths: Mapping[str, Iterable[str]]) -> Markup:
    drawn = "".join(
        f'<path class="{name}" d="{"".join(path)}"><title>{name}</title></path>' for name, path in paths.items() if path
    )
    return Markup(f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>')
