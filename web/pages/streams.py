"""The page Streams: what each does now, its last minutes, and what happened to it."""

from datetime import timedelta
from typing import Any

import altair as alt
import polars as pl
import streamlit as st
from sqlalchemy.orm import Session

from fer_model.rendering.palette import hex_colour
from fer_model.types import EMOTIONS
from results.database import reading
from results.jobs import utc_now
from results.read.parts import Period
from results.read.streams import StreamStatus, events_of, stream_statuses
from results.read.timelines import timeline
from web.parts.names import plain
from web.server import this_server

EVERY_S = 2.0
BUCKETS = 150
"""Steps of a chart, at most."""

WIDTHS = {"Delay, ms": st.column_config.TextColumn(width=150)}
"""Pixels; beside a long event it would be cut."""

MINUTES = {"5 minutes": 5, "30 minutes": 30, "3 hours": 180}
HINT = "There is no stream yet. `fer-batch stream add rtsp://camera/stream --name lobby` adds one."


def page() -> None:
    """Draws the page."""
    st.title("Streams")
    with reading(this_server().database) as session:
        statuses = stream_statuses(session)
    # Those that are live come first, those that are stopped last.
    statuses.sort(key=lambda status: (status.state == "stopped", status.state != "live"))
    names = [status.name for status in statuses]
    if not names:
        st.info(HINT)
        return
    _states()
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    name = left.selectbox("Stream", names, key="stream")
    length = right.segmented_control("Shown", list(MINUTES), default="5 minutes", required=True, key="length")
    _last(name, MINUTES[length])


@st.fragment(run_every=EVERY_S)
def _states() -> None:
    with reading(this_server().database) as session:
        rows = [_row(status) for status in stream_statuses(session)]
    st.dataframe(rows, hide_index=True, width="stretch", column_config=WIDTHS, alt="The state of each stream")


def _row(status: StreamStatus) -> dict[str, Any]:
    event = status.last_event
    return {
        "Stream": status.name,
        "State": status.state,
        "Frames a second": "" if status.processed_fps is None else f"{status.processed_fps:.1f}",
        "Delay, ms": _delay(status),
        "Skipped": sum(status.skipped.values()),
        "Rows": status.rows,
        "Last event": f"{event.at:%H:%M:%S} {event.detail}" if event else "",
    }


def _delay(status: StreamStatus) -> str:
    p50, p95 = status.delay_ms["p50"], status.delay_ms["p95"]
    return "" if p50 is None or p95 is None else f"{p50:.0f} (95%: {p95:.0f})"


@st.fragment(run_every=EVERY_S)
def _last(name: str, minutes: int) -> None:
    with reading(this_server().database) as session:
        status = next((each for each in stream_statuses(session) if each.name == name), None)
        if status is None:
            st.info(f"The stream {plain(name)} was removed.")
            return
        rows = _means(session, status, minutes)
        events = [
            {"Time (UTC)": event.at.strftime("%Y-%m-%d %H:%M:%S"), "Event": event.kind, "What happened": event.detail}
            for event in events_of(session, name, 50)
        ]
    _chart(name, rows, minutes)
    st.subheader("Events", anchor=False)
    if events:
        st.dataframe(events, hide_index=True, width="stretch", alt="Events of the stream")
    else:
        st.caption("Nothing has happened yet.")


def _means(session: Session, status: StreamStatus, minutes: int) -> list[dict[str, Any]]:
    """The means of each step of the last minutes, of a stopped stream of its last; None where no face was seen."""
    stopped = status.last_event if status.state == "stopped" else None
    until = stopped.at if stopped else utc_now(session)
    period = Period(until - timedelta(minutes=minutes), until)
    return list(timeline(session, status.job, bucket_ms=_step_ms(minutes), by="media", period=period))


def _step_ms(minutes: int) -> int:
    return max(1000, 60_000 * minutes // BUCKETS)


def _chart(name: str, rows: list[dict[str, Any]], minutes: int) -> None:
    columns = ("faces", *EMOTIONS)
    seen = [{"Time": row["at"], **{column: row[column] for column in columns}} for row in rows if row["faces"]]
    if not seen:
        st.info(f"No face in these {minutes} minutes.")
        return
    table = pl.DataFrame(seen)
    ends = table.with_columns(End=pl.col("Time") + timedelta(milliseconds=_step_ms(minutes)))
    # With a key it is updated in its place, and does not flicker.
    st.subheader("Mean probabilities", anchor=False)
    st.altair_chart(_bars(ends), width="stretch", key="chart of a stream", alt=f"Emotions of {name} over time")
    with st.expander("As a table"):
        rounded = table.reverse().with_columns(pl.col(EMOTIONS).round(3))
        st.dataframe(rounded, hide_index=True, width="stretch", alt="The means in each step of the chart")


def _bars(table: pl.DataFrame) -> alt.Chart:
    """A bar for each step with a face: what lies between is no face, and stays empty."""
    means = table.unpivot(list(EMOTIONS), index=["Time", "End", "faces"], variable_name="Emotion", value_name="Mean")
    means = means.with_columns(Top=pl.col("Mean").cum_sum().over("Time")).with_columns(
        Bottom=pl.col("Top") - pl.col("Mean")
    )
    colours = alt.Scale(domain=list(EMOTIONS), range=[hex_colour(emotion) for emotion in EMOTIONS])
    legend = alt.Legend(orient="top", title=None, columns=4)
    axis = alt.Axis(format="%H:%M:%S", tickCount=6, labelOverlap=True)
    return (
        alt.Chart(means, height=320)
        .mark_rect()
        .encode(
            x=alt.X("Time:T", title="Time (UTC)", scale=alt.Scale(type="utc"), axis=axis),
            x2="End:T",
            y=alt.Y("Bottom:Q", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            y2="Top:Q",
            color=alt.Color("Emotion:N", scale=colours, sort=list(EMOTIONS), legend=legend),
            tooltip=[
                alt.Tooltip("Time:T", format="%H:%M:%S"),
                "Emotion:N",
                alt.Tooltip("Mean:Q", format=".1%"),
                "faces:Q",
            ],
        )
    )
