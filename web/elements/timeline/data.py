"""What the timeline's element draws, as JSON: everything in steps of the chart, or in milliseconds."""

from collections.abc import Sequence
from typing import Any

from fer_model.rendering.palette import hex_colour
from results.emotions import EMOTIONS
from results.read.jumps import changes, faceless, peaks, skipped, stretches, unsure
from results.read.overview import LOW_QUALITY, Overview, Run, Seen, longest, runs, smoothed

LANES = 12
"""Most ribbons."""

ON_DARK = {"sad": "#3d9bd8", "neutral": "#8f8f8f"}
"""Colours that differ on a dark ground, as in the report."""

Json = dict[str, Any]


def chart(view: Overview, track_id: int | None, smooth_ms: int) -> Json:
    """A video's chart and ribbons; of one track, if it is given, else of all faces."""
    half = round(smooth_ms / 2 / view.step_ms)
    chosen = [track_id] if track_id in view.tracks else longest(view.tracks, LANES) if track_id is None else []
    lanes = {track: runs(smoothed(view.tracks[track], half)) for track in chosen}
    seen = smoothed(shown(view, track_id), half)
    return {
        "since": view.since_ms,
        "until": view.until_ms,
        "step": view.step_ms,
        "emotions": EMOTIONS,
        "light": [hex_colour(name) for name in EMOTIONS],
        "dark": [ON_DARK.get(name) or hex_colour(name) for name in EMOTIONS],
        "steps": list(seen),
        "scores": [[round(1000 * score) for score in each.scores] for each in seen.values()],
        "words": [_words(each) for each in shown(view, track_id).values()],
        "low": stretches(step for step, each in seen.items() if _is_low(each)),
        "faceless": faceless(view) if track_id is None else stretches(set(view.frames) - set(seen)),
        "skipped": skipped(view),
        "lanes": [{"id": track, "runs": [_run(run) for run in lane]} for track, lane in lanes.items()],
        "jumps": _jumps(view, seen, list(lanes.values())),
    }


def shown(view: Overview, track_id: int | None) -> dict[int, Seen]:
    """The steps of one track, or of all faces."""
    return view.seen if track_id is None else view.tracks.get(track_id, {})


def _jumps(view: Overview, seen: dict[int, Seen], lanes: Sequence[list[Run]]) -> dict[str, list[int]]:
    gaps = sorted(first for first, _ in (*faceless(view), *skipped(view)))
    steps = {"change": changes(lanes), "peak": peaks(seen), "unsure": unsure(seen), "gap": gaps}
    return {kind: [view.start_ms(step) for step in found] for kind, found in steps.items()}


def _run(run: Run) -> tuple[int, int, int, bool]:
    return run.first, run.steps, EMOTIONS.index(run.emotion), run.low


def _is_low(seen: Seen) -> bool:
    return seen.quality is not None and seen.quality < LOW_QUALITY


def _words(seen: Seen) -> str:
    """The figures of a step in words."""
    faces = "1 face" if seen.faces == 1 else f"{seen.faces:,} faces"
    return faces if seen.quality is None else f"{faces}, quality {seen.quality:.2f}"
