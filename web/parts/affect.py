"""Valence and arousal of what the chart of a video shows, as lines; the chart's table has the figures unsmoothed."""

from datetime import UTC, datetime, timedelta

import altair
import polars
import streamlit as st

from results.emotions import AFFECT, projected
from web.parts.series import Shown
from web.parts.theme import ACCENT

NOTE = (
    "A projection of the seven probabilities onto the circumplex model of affect (coordinates: Russell and Mehrabian, "
    "1977), smoothed as above; not a measurement. Its figures are in the table of the chart."
)
MIDNIGHT = datetime(1970, 1, 1, tzinfo=UTC)


def draw(shown: Shown, origin_ms: int) -> None:
    """Draws the lines; clocks show `origin_ms` at 0."""
    if not shown.smooth:
        return
    st.markdown("**Valence and arousal**")
    ends = [_moment(ms + origin_ms).isoformat() for ms in (shown.view.since_ms, shown.view.until_ms)]
    scale = altair.Scale(type="utc", domain=ends)
    domain, legend = list(AFFECT), altair.Legend(title=None, orient="top")
    lines = altair.Chart(points(shown, origin_ms)).mark_line(interpolate="step-after")
    chart = lines.encode(
        x=altair.X("time:T", title=None, scale=scale, axis=altair.Axis(format="%-H:%M:%S", labelOverlap=True)),
        y=altair.Y("value:Q", title=None, scale=altair.Scale(domain=[-1, 1])),
        color=altair.Color("axis:N", scale=altair.Scale(domain=domain, range=[ACCENT, "#9a9a9a"]), legend=legend),
        strokeDash=altair.StrokeDash("axis:N", scale=altair.Scale(domain=domain, range=[[1, 0], [5, 3]]), legend=None),
    )
    st.altair_chart(chart.properties(height=160), alt="Projected valence and arousal over time")
    st.caption(NOTE)


def points(shown: Shown, origin_ms: int) -> polars.DataFrame:
    """One row for each axis and processed step; without a face its value is null, which breaks the line."""
    rows = [
        (_moment(shown.view.start_ms(step) + origin_ms), name, value)
        for step in sorted(shown.view.frames)
        for name, value in zip(AFFECT, affect_of(shown, step), strict=True)
    ]
    return polars.DataFrame(rows, ("time", "axis", "value"), orient="row")


def affect_of(shown: Shown, step: int) -> tuple[float, float] | tuple[None, None]:
    """Valence and arousal of a step as it is drawn."""
    return projected(shown.smooth[step].scores) if step in shown.smooth else (None, None)


def _moment(ms: int) -> datetime:
    return MIDNIGHT + timedelta(milliseconds=ms)
