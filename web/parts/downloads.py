"""What a visitor takes away: what the chart shows, and the whole medium."""

import io
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from results.emotions import EMOTIONS
from results.read.overview import Overview, longest, runs, smoothed
from results.tables import Media
from web.elements.timeline.data import LANES, shown
from web.parts.figures import picture
from web.parts.names import file_name, file_stem

if TYPE_CHECKING:
    import polars

FILES = {"csv": "CSV", "parquet": "Parquet", "eaf": "ELAN", "textgrid": "Praat TextGrid", "boris": "BORIS"}


def draw(medium: Media, view: Overview, track_id: int | None, smooth_ms: int) -> None:
    """Draws the chart's table and the downloads."""
    frame = table(view, track_id)
    with st.expander("Table of the chart"):
        st.dataframe(frame, hide_index=True, alt="The mean probabilities in each step of the chart")
    st.markdown("**What is shown**")
    stem = file_stem(medium.uri)
    with st.container(horizontal=True):
        for style in ("csv", "parquet", "png", "svg"):
            st.download_button(
                style.upper() if style != "parquet" else "Parquet",
                partial(_made, style, frame, medium, view, track_id, smooth_ms),
                f"{stem}-timeline.{style}",
                on_click="ignore",
                key=f"shown-{style}",
            )
    st.markdown("**Every face of the file**")
    links = (f'<a href="/fer/export/{medium.id}/{style}" download>{word}</a>' for style, word in FILES.items())
    st.html(f'<p class="fer-files">{"".join(links)}</p>')


def table(view: Overview, track_id: int | None) -> "polars.DataFrame":
    """One row for each step that was processed; without a face its means are null."""
    import polars

    seen = shown(view, track_id)
    rows = [
        (
            view.start_ms(step) / 1000,
            view.frames[step],
            *(
                (one.faces, one.emotion, *one.scores, one.confidence, one.quality)
                if (one := seen.get(step))
                else NOTHING
            ),
        )
        for step in sorted(view.frames)
    ]
    names = ("seconds", "frames", "faces", "emotion", *EMOTIONS, "confidence", "quality")
    types = {"frames": polars.Int64, "faces": polars.Int64, "emotion": polars.String}
    return polars.DataFrame(rows, {name: types.get(name, polars.Float64) for name in names}, orient="row")


NOTHING = (0, None, *(None for _ in EMOTIONS), None, None)


def _made(
    style: str, frame: "polars.DataFrame", medium: Media, view: Overview, track_id: int | None, smooth_ms: int
) -> bytes:
    if style in ("png", "svg"):
        half = round(smooth_ms / 2 / view.step_ms)
        chosen = [
            track for track in (longest(view.tracks, LANES) if track_id is None else [track_id]) if track in view.tracks
        ]
        lanes = {track: runs(smoothed(view.tracks[track], half)) for track in chosen}
        return picture(view, smoothed(shown(view, track_id), half), lanes, file_name(medium.uri), style)
    file = io.BytesIO()
    frame.write_csv(file) if style == "csv" else frame.write_parquet(file)
    return file.getvalue()
