"""What a chart of a video shows: of one track or of all faces, smoothed."""

from dataclasses import dataclass

from results.read.overview import Overview, Run, Seen, longest, runs, smoothed

LANES = 12
"""Most ribbons."""


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
