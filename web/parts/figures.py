"""The chart of a timeline as a picture for a paper: PNG or SVG."""

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from fer_model.rendering.palette import hex_colour
from results.emotions import EMOTIONS
from results.read.jumps import faceless, low_quality, skipped
from results.read.overview import BRIDGED, Overview, Run, Seen
from results.read.times import exact_clock
from web.parts.series import Shown, ticks

INCHES, DPI = (11.0, 3.2), 200
LANE_INCHES = 0.28
TICKS = 8
"""Most steps between the labels of the time axis."""

GREY = "#9a9a9a"


def picture(shown: Shown, title: str, style: str, origin_ms: int) -> bytes:
    """The means stacked, gaps and low quality hatched, and a ribbon for each track, as `png` or `svg`.

    Clocks show `origin_ms` at 0.
    """
    view, lanes = shown.view, shown.lanes
    figure = Figure((INCHES[0], INCHES[1] + LANE_INCHES * len(lanes)), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [INCHES[1], max(0.1, LANE_INCHES * len(lanes))]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    above.set_title(title, loc="left", fontsize=11, parse_math=False)
    _draw_means(above, view, shown.smooth)
    _draw_gaps(above, view, shown.smooth)
    for number, (track, lane) in enumerate(lanes.items()):
        _draw_lane(below, view, number, lane)
        below.text(-0.005, number + 0.5, f"#{track}", transform=below.get_yaxis_transform(), ha="right", va="center")
    below.set(ylim=(max(1, len(lanes)), 0), yticks=[], xlim=(view.since_ms / 1000, view.until_ms / 1000))
    times = ticks(view.since_ms, view.until_ms, TICKS)
    below.set_xticks([ms / 1000 for ms in times], [exact_clock(ms + origin_ms) for ms in times])
    for axes in (above, below):
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(handles=_legend(), ncols=len(EMOTIONS) + 2, loc="outside lower left", frameon=False, fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format=style, dpi=DPI, metadata={"Date": None} if style == "svg" else None)
    return file.getvalue()


def _draw_means(axes: Axes, view: Overview, seen: dict[int, Seen]) -> None:
    steps = np.array(list(seen), float)
    # A step alone without a frame is no gap.
    widths = np.where(np.diff(steps, append=np.inf) == BRIDGED + 1, BRIDGED + 1, 1)
    left, right = ((view.since_ms + place * view.step_ms) / 1000 for place in (steps, steps + widths))
    tops = np.cumsum([each.scores for each in seen.values()] or np.zeros((0, len(EMOTIONS))), axis=1)
    bottoms = np.hstack([np.zeros((len(steps), 1)), tops[:, :-1]])
    for n, name in enumerate(EMOTIONS):
        low, high = bottoms[:, n], tops[:, n]
        corners = np.stack([np.array([left, left, right, right]), np.array([low, high, high, low])], axis=-1)
        # One collection for each emotion: a thousand rectangles apart take seconds. Smoothed edges would show seams.
        shapes = PolyCollection(corners.swapaxes(0, 1), facecolors=hex_colour(name), linewidths=0, antialiaseds=False)  # type: ignore[arg-type]
        axes.add_collection(shapes, autolim=False)
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))


def _draw_gaps(axes: Axes, view: Overview, seen: dict[int, Seen]) -> None:
    for parts, pattern, colour in (
        (low_quality(seen), "////", "#ffffff"),
        (faceless(view), "//", GREY),
        (skipped(view), "xx", GREY),
    ):
        for first, steps in parts:
            begins, ends = (view.start_ms(step) / 1000 for step in (first, first + steps))
            axes.axvspan(begins, ends, facecolor="none", edgecolor=colour, hatch=pattern, linewidth=0)


def _draw_lane(axes: Axes, view: Overview, number: int, lane: list[Run]) -> None:
    for run in lane:
        left, width = view.start_ms(run.first) / 1000, run.steps * view.step_ms / 1000
        hatch: dict[str, Any] = {"hatch": "////", "edgecolor": "#ffffff"} if run.low else {}
        axes.broken_barh([(left, width)], (number + 0.1, 0.8), facecolor=hex_colour(run.emotion), linewidth=0, **hatch)


def _legend() -> list[Patch]:
    gaps = [("no face", "//"), ("not processed", "xx")]
    return [
        *(Patch(facecolor=hex_colour(name), label=name) for name in EMOTIONS),
        *(Patch(facecolor="none", edgecolor=GREY, hatch=hatch, label=name, linewidth=0) for name, hatch in gaps),
    ]
