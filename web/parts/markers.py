"""Markers of a medium: written by the timeline's element, listed and deleted below it."""

import io
from collections.abc import Sequence
from typing import Any

import streamlit as st
from sqlalchemy.orm import Session

from results.database import writing
from results.errors import MarkerError
from results.markers import Marker, add_marker, delete_markers, markers_of
from results.read.times import exact_clock
from web.parts.names import file_stem
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


def draw(session: Session, media_id: int, uri: str) -> None:
    """Draws the list, with a button to delete from it and its download; nothing without markers."""
    found = markers_of(session, media_id)
    if not found:
        return
    st.markdown("### Markers")
    key = f"markers-{media_id}-{len(found)}"
    chosen = st.dataframe(
        table(found), hide_index=True, on_select="rerun", selection_mode="multi-row", key=key, alt="The markers"
    )
    rows = [found[row].id for row in chosen["selection"]["rows"] if row < len(found)]
    with st.container(horizontal=True):
        if st.button("Delete selected", disabled=not rows):
            with writing(this_server().database) as other:
                delete_markers(other, media_id, rows)
            st.rerun()
        csv = _csv(found)
        st.download_button("Download as CSV", csv, f"{file_stem(uri)}-markers.csv", on_click="ignore")


def table(found: Sequence[Marker]) -> dict[str, list[str]]:
    """By column: from, to, label, note."""
    return {
        "from": [exact_clock(row.time_ms) for row in found],
        "to": ["" if row.until_ms is None else exact_clock(row.until_ms) for row in found],
        "label": [row.label for row in found],
        "note": [row.note or "" for row in found],
    }


def _csv(found: Sequence[Marker]) -> bytes:
    import polars

    names = ("time_ms", "until_ms", "label", "note")
    types = (polars.Int64, polars.Int64, polars.String, polars.String)
    rows = [tuple(getattr(row, name) for name in names) for row in found]
    file = io.BytesIO()
    polars.DataFrame(rows, dict(zip(names, types, strict=True)), orient="row").write_csv(file)
    return file.getvalue()
