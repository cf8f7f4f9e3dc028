"""The chart of a timeline as a picture for a paper: PNG or SVG."""

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fer_model.rendering.palette import hex_colour
from results.emotions import EMOTIONS
from results.read.jumps import faceless, skipped, stretches
from results.read.overview import LOW_QUALITY, Overview, Run, Seen
from results.read.times import clock
from web.parts.series import Shown

INCHES, DPI = (11.0, 3.2), 200
LANE_INCHES = 0.28


def picture(shown: Shown, title: str, style: str) -> bytes:
    """The means stacked, gaps and low quality hatched, and a ribbon for each track, as `png` or `svg`."""
    view, lanes = shown.view, shown.lanes
    figure = Figure((INCHES[0], INCHES[1] + LANE_INCHES * len(lanes)), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [INCHES[1], max(0.1, LANE_INCHES * len(lanes))]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    above.set_title(title, loc="left", fontsize=11, parse_math=False)
    _draw_means(above, view, shown.smooth)
    for number, (track, lane) in enumerate(lanes.items()):
        _draw_lane(below, view, number, lane)
        below.text(-0.005, number + 0.5, f"#{track}", transform=below.get_yaxis_transform(), ha="right", va="center")
    below.set(ylim=(max(1, len(lanes)), 0), yticks=[], xlim=(view.since_ms / 1000, view.until_ms / 1000))
    below.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 5, 6, 10]))
    below.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(round(1000 * seconds))))
    for axes in (above, below):
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(handles=_legend(), ncols=len(EMOTIONS) + 2, loc="outside lower left", frameon=False, fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format=style, dpi=DPI, metadata={"Date": None} if style == "svg" else None)
    return file.getvalue()


def _draw_means(axes: Axes, view: Overview, seen: dict[int, Seen]) -> None:
    seconds, width = [view.start_ms(step) / 1000 for step in seen], view.step_ms / 1000
    bottom = [0.0] * len(seen)
    for n, name in enumerate(EMOTIONS):
        heights = [each.scores[n] for each in seen.values()]
        axes.bar(seconds, heights, width, bottom, align="edge", color=hex_colour(name), linewidth=0)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    poor = stretches(step for step, each in seen.items() if each.quality is not None and each.quality < LOW_QUALITY)
    for parts, pattern in ((poor, "////"), (faceless(view), "//"), (skipped(view), "xx")):
        for first, steps in parts:
            left, right = (view.start_ms(step) / 1000 for step in (first, first + steps))
            colour = "#ffffff" if parts is poor else "#9a9a9a"
            axes.axvspan(left, right, facecolor="none", edgecolor=colour, hatch=pattern, linewidth=0)
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))


def _draw_lane(axes: Axes, view: Overview, number: int, lane: list[Run]) -> None:
    for run in lane:
        left, width = view.start_ms(run.first) / 1000, run.steps * view.step_ms / 1000
        hatch: dict[str, Any] = {"hatch": "////", "edgecolor": "#ffffff"} if run.low else {}
        axes.broken_barh([(left, width)], (number + 0.1, 0.8), facecolor=hex_colour(run.emotion), linewidth=0, **hatch)


def _legend() -> list[Patch]:
    gaps = [("no face", "//"), ("not processed", "xx")]
    return [
        *(Patch(facecolor=hex_colour(name), label=name) for name in EMOTIONS),
        *(Patch(facecolor="none", edgecolor="#9a9a9a", hatch=hatch, label=name, linewidth=0) for name, hatch in gaps),
    ]
