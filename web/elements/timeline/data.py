"""What the timeline's element draws, as JSON: everything in steps of the chart, or in milliseconds."""

from typing import Any

from fer_model.rendering.palette import hex_colour
from results.emotions import EMOTIONS
from results.read.jumps import changes, faceless, low_quality, peaks, skipped, stretches, unsure
from results.read.overview import BRIDGED, Run, Seen
from web.parts.names import counted
from web.parts.series import Shown

ON_DARK = {"sad": "#3d9bd8", "neutral": "#8f8f8f"}
"""Colours that differ on a dark ground, as in the report."""


def chart(shown: Shown) -> dict[str, Any]:
    """The chart, the ribbons and where to jump to."""
    view = shown.view
    return {
        "since": view.since_ms,
        "until": view.until_ms,
        "step": view.step_ms,
        "emotions": EMOTIONS,
        "light": [hex_colour(name) for name in EMOTIONS],
        "dark": [ON_DARK.get(name) or hex_colour(name) for name in EMOTIONS],
        "steps": list(shown.smooth),
        "scores": [[round(1000 * score) for score in each.scores] for each in shown.smooth.values()],
        "words": [_words(each, view.frames.get(step, 1)) for step, each in shown.seen.items()],
        "low": low_quality(shown.smooth),
        "faceless": faceless(view)
        if shown.track_id is None
        else stretches(set(view.frames) - set(shown.seen), BRIDGED),
        "skipped": skipped(view),
        "lanes": [{"id": track, "runs": [_run(run) for run in lane]} for track, lane in shown.lanes.items()],
        "jumps": _jumps(shown),
    }


def _jumps(shown: Shown) -> dict[str, list[int]]:
    """The moments of each kind, in ms."""
    view, seen = shown.view, shown.smooth
    gaps = sorted(first for first, _ in (*faceless(view), *skipped(view)))
    steps = {"change": changes(shown.lanes.values()), "peak": peaks(seen), "unsure": unsure(seen), "gap": gaps}
    return {kind: [view.start_ms(step) for step in found] for kind, found in steps.items()}


def _run(run: Run) -> tuple[int, int, int, bool]:
    return run.first, run.steps, EMOTIONS.index(run.emotion), run.low


def _words(seen: Seen, frames: int) -> str:
    """The figures of a step in words."""
    within = "" if frames == 1 else f" in {frames:,} frames"
    return counted(seen.faces, "face") + within + ("" if seen.quality is None else f", quality {seen.quality:.2f}")
