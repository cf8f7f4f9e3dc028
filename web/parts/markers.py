"""Markers of a medium: written by the timeline's element, listed and deleted below it."""

import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import streamlit as st
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from results.database import writing
from results.errors import MarkerError
from results.markers import Marker, add_marker, delete_markers, markers_of
from results.read.times import exact_clock
from results.tables import Media
from web.parts.names import download_stem
from web.server import this_server


def marks(session: Session, media_id: int) -> list[dict[str, Any]]:
    """The markers as the element draws them."""
    return [{"at": row.time_ms, "until": row.until_ms, "label": row.label} for row in markers_of(session, media_id)]


def add(media_id: int, mark: dict[str, Any]) -> None:
    """Keeps what the element sent: `at`, `until`, `label` and `note`."""
    try:
        until = None if mark["until"] is None else int(mark["until"])
        with writing(this_server().database) as session:
            add_marker(session, media_id, int(mark["at"]), until, str(mark["label"]), str(mark["note"]))
    except (MarkerError, KeyError, TypeError, ValueError) as error:
        st.toast(f"The marker was not kept: {error}")
    except IntegrityError:
        st.toast("The marker was not kept: the job was deleted.")


def draw(session: Session, medium: Media, origin_ms: int) -> None:
    """Draws the list, with a button to delete from it and its download; nothing without markers.

    Clocks show `origin_ms` at 0.
    """
    found = markers_of(session, medium.id)
    if not found:
        return
    st.markdown("### Markers")
    key = f"markers-{medium.id}-{len(found)}"
    shown = table(found, origin_ms)
    chosen = st.dataframe(
        shown, hide_index=True, on_select="rerun", selection_mode="multi-row", key=key, alt="The markers"
    )
    rows = [found[row].id for row in chosen["selection"]["rows"] if row < len(found)]
    with st.container(horizontal=True):
        if st.button("Delete selected", disabled=not rows):
            with writing(this_server().database) as other:
                delete_markers(other, medium.id, rows)
            st.rerun()
        name = f"{download_stem(session, medium)}-markers.csv"
        st.download_button("Download as CSV", csv(found, medium), name, on_click="ignore")


def table(found: Sequence[Marker], origin_ms: int) -> dict[str, list[str]]:
    """By column: from, to, label, note; clocks show `origin_ms` at 0."""
    return {
        "from": [exact_clock(row.time_ms + origin_ms) for row in found],
        "to": ["" if row.until_ms is None else exact_clock(row.until_ms + origin_ms) for row in found],
        "label": [row.label for row in found],
        "note": [row.note or "" for row in found],
    }


def csv(found: Sequence[Marker], medium: Media) -> bytes:
    """The rows of the database; of a stream's hour also the moments `at` and `until` in UTC, as exports write them."""
    import polars

    texts = dict.fromkeys(("label", "note", "at", "until"), polars.String)
    rows = [
        (row.time_ms, row.until_ms, row.label, row.note, _moment(medium, row.time_ms), _moment(medium, row.until_ms))
        for row in found
    ]
    file = io.BytesIO()
    polars.DataFrame(rows, {"time_ms": polars.Int64, "until_ms": polars.Int64, **texts}, orient="row").write_csv(file)
    return file.getvalue()


def _moment(medium: Media, ms: int | None) -> str | None:
    """A time of a stream's hour in ISO 8601."""
    if medium.kind != "stream" or medium.started_at is None or ms is None:
        return None
    return (medium.started_at + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
