"""The figures of a selected part of a video."""

import streamlit as st
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS
from results.read.sections import Section, section
from results.read.times import exact_clock
from results.tables import Media

SHARES = ("Mean probability", "Share of time")
FIGURES_PX = 138
"""All three columns fit on a telephone (358 pixels), and are widened where there is more room."""


def draw(session: Session, medium: Media, part: tuple[int, int], track_id: int | None, origin_ms: int) -> None:
    """Draws the figures of [since, until) in ms, of all faces or one track; clocks show `origin_ms` at 0."""
    found = section(session, medium.id, *part, track_id)
    whose = "all faces" if track_id is None else f"track #{track_id}"
    begins, ends = (exact_clock(ms + origin_ms) for ms in part)
    st.markdown("### All faces" if medium.kind == "image" else f"### {begins} to {ends}, {whose}")
    words = ("Frames", "Faces", "Frames with a face", "Confidence", "Quality")
    with st.container(horizontal=True, gap="medium"):
        for word, value in zip(words, _figures(found), strict=True):
            st.metric(word, value, width="content")
    if found.faces:
        st.dataframe(
            table(found),
            hide_index=True,
            column_config={"Emotion": st.column_config.TextColumn(width="small")}
            | {
                name: st.column_config.ProgressColumn(
                    name, width=FIGURES_PX, format="%.1f%%", min_value=0, max_value=100
                )
                for name in SHARES
            },
            alt="Mean probability and share of time of each emotion",
        )


def table(found: Section) -> dict[str, list[str] | list[float]]:
    """By column: each emotion's mean probability, and its share of the faces that show it most; in per cent."""
    return {
        "Emotion": list(EMOTIONS),
        SHARES[0]: [100 * found.means[name] for name in EMOTIONS],
        SHARES[1]: [100 * found.time[name] for name in EMOTIONS],
    }


def _figures(found: Section) -> tuple[str, ...]:
    return (
        f"{found.frames:,}",
        f"{found.faces:,}",
        f"{found.present:.0%}",
        "–" if found.confidence is None else f"{found.confidence:.2f}",
        "–" if found.quality is None else f"{found.quality:.2f}",
    )
