"""Valence and arousal of what the chart of a video shows, as lines; the chart's table has the figures unsmoothed."""

import altair
import polars
import streamlit as st

from results.emotions import AFFECT, projected
from results.read.jumps import stretches
from results.read.overview import BRIDGED
from web.parts.series import Shown, ticks
from web.parts.theme import ACCENT

NOTE = (
    "A projection of the seven probabilities onto the circumplex model of affect (coordinates: Russell and Mehrabian, "
    "1977), smoothed as above; not a measurement. Its figures are in the table of the chart."
)
TICKS = 10
"""Most steps between the labels of the time axis."""

CLOCK = "utcFormat(1000 * datum.value, datum.value % 1 ? '%-H:%M:%S.%L' : '%-H:%M:%S')"


def draw(shown: Shown, origin_ms: int) -> None:
    """Draws the lines; clocks show `origin_ms` at 0."""
    if not shown.smooth:
        return
    st.markdown("**Valence and arousal**")
    axes, legend = list(AFFECT), altair.Legend(title=None, orient="top")
    lines = altair.Chart(points(shown, origin_ms)).mark_line(interpolate="step-after", clip=True)
    chart = lines.encode(
        x=_time(shown, origin_ms),
        y=altair.Y("value:Q", title=None, scale=altair.Scale(domain=[-1, 1]), axis=altair.Axis(values=[-1, 0, 1])),
        color=altair.Color("axis:N", scale=altair.Scale(domain=axes, range=[ACCENT, "#9a9a9a"]), legend=legend),
        strokeDash=altair.StrokeDash("axis:N", scale=altair.Scale(domain=axes, range=[[1, 0], [5, 3]]), legend=None),
        detail="stretch:N",
    )
    st.altair_chart(chart.properties(height=260), alt="Projected valence and arousal over time")
    st.caption(NOTE)


def _time(shown: Shown, origin_ms: int) -> altair.X:
    since, until = (ms + origin_ms for ms in (shown.view.since_ms, shown.view.until_ms))
    axis = altair.Axis(values=[ms / 1000 for ms in ticks(since, until, TICKS)], labelExpr=CLOCK)
    scale = altair.Scale(domain=[since / 1000, until / 1000], nice=False)
    return altair.X("seconds:Q", title=None, scale=scale, axis=axis)


def points(shown: Shown, origin_ms: int) -> polars.DataFrame:
    """One row for each axis and step with a face, and one at the end of each `stretch`, where the line breaks."""
    rows = [
        ((shown.view.start_ms(step) + origin_ms) / 1000, name, value, stretch)
        for stretch, (first, steps) in enumerate(stretches(shown.smooth, BRIDGED))
        for step in range(first, first + steps + 1)
        # A step lasts until the next one begins, and nothing begins at the end.
        if (drawn := min(step, first + steps - 1)) in shown.smooth
        for name, value in zip(AFFECT, projected(shown.smooth[drawn].scores), strict=True)
    ]
    return polars.DataFrame(rows, ("seconds", "axis", "value", "stretch"), orient="row")
