"""What a visitor takes away: what the chart shows, and the whole medium."""

import io
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st
from sqlalchemy.orm import Session

from results.emotions import AFFECT, EMOTIONS, projected
from results.tables import Media
from web.parts.figures import picture
from web.parts.names import download_stem, medium_title
from web.parts.series import Shown

if TYPE_CHECKING:
    import polars

SHOWN = {"csv": "CSV", "parquet": "Parquet", "png": "PNG", "svg": "SVG"}
FILES = {"csv": "CSV", "parquet": "Parquet", "eaf": "ELAN", "textgrid": "Praat TextGrid", "boris": "BORIS"}
NOTHING = (0, None, *(None for _ in EMOTIONS), None, None, None, None)
"""The values of a step without a face."""


def draw(session: Session, medium: Media, shown: Shown, origin_ms: int) -> None:
    """Draws the chart's table and the downloads; clocks show `origin_ms` at 0."""
    frame = table(shown)
    with st.expander("Table of the chart"):
        st.dataframe(frame, hide_index=True, alt="The mean probabilities in each step of the chart")
    st.markdown("**What is shown**")
    name, title = f"{download_stem(session, medium)}-timeline", medium_title(session, medium)
    with st.container(horizontal=True):
        for style, word in SHOWN.items():
            made = partial(_made, style, frame, shown, title, origin_ms)
            st.download_button(word, made, f"{name}.{style}", on_click="ignore", key=f"shown-{style}")
    st.markdown("**Every face of the file**")
    links = (f'<a href="/fer/export/{medium.id}/{style}" download>{word}</a>' for style, word in FILES.items())
    st.html(f'<p class="fer-files">{"".join(links)}</p>')


def table(shown: Shown) -> "polars.DataFrame":
    """One row for each step that was processed, not smoothed; without a face its means are null."""
    import polars

    view, seen = shown.view, shown.seen
    found = {
        step: (one.faces, one.emotion, *one.scores, one.confidence, one.quality, *projected(one.scores))
        for step, one in seen.items()
    }
    rows = [(view.start_ms(step) / 1000, view.frames[step], *found.get(step, NOTHING)) for step in sorted(view.frames)]
    names = ("seconds", "frames", "faces", "emotion", *EMOTIONS, "confidence", "quality", *AFFECT)
    types = {"frames": polars.Int64, "faces": polars.Int64, "emotion": polars.String}
    return polars.DataFrame(rows, {name: types.get(name, polars.Float64) for name in names}, orient="row")


def _made(style: str, frame: "polars.DataFrame", shown: Shown, title: str, origin_ms: int) -> bytes:
    if style in ("png", "svg"):
        return picture(shown, title, style, origin_ms)
    file = io.BytesIO()
    frame.write_csv(file) if style == "csv" else frame.write_parquet(file)
    return file.getvalue()
