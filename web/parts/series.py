"""What a chart of a video shows: of one track or of all faces, smoothed."""

from dataclasses import dataclass

from results.read.overview import Overview, Run, Seen, longest, runs, smoothed
from results.read.report.charts import TICKS_S

LANES = 12
"""Most ribbons."""

TICKS_MS = (10, 20, 50, 100, 200, 500, *(1000 * seconds for seconds in TICKS_S))


@dataclass(frozen=True, slots=True)
class Shown:
    """A part of a video as it is shown: `seen` are the means by step as they are, `smooth` the drawn ones."""

    view: Overview
    track_id: int | None
    seen: dict[int, Seen]
    smooth: dict[int, Seen]
    lanes: dict[int, list[Run]]


def shown(view: Overview, track_id: int | None, smooth_ms: int) -> Shown:
    """The faces of one track, or with None of all and the longest tracks; centred means over `smooth_ms`."""
    half = round(smooth_ms / 2 / view.step_ms)
    seen = view.seen if track_id is None else view.tracks.get(track_id, {})
    chosen = longest(view.tracks, LANES) if track_id is None else [track_id] if seen else []
    lanes = {track: runs(smoothed(view.tracks[track], half)) for track in chosen}
    return Shown(view, track_id, seen, smoothed(seen, half), lanes)


def ticks(since_ms: int, until_ms: int, most: int) -> range:
    """The round times, in ms, to write along an axis from `since_ms` to `until_ms`: at most one more than `most`."""
    tick = next((tick for tick in TICKS_MS if (until_ms - since_ms) / tick <= most), TICKS_MS[-1])
    return range(-(-since_ms // tick) * tick, until_ms + 1, tick)
