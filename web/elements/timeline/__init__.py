"""A video, the chart of its emotions and a ribbon for each track, on one cursor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

FOLDER = Path(__file__).parent
SCRIPTS = ("paint.js", "player.js", "element.js")

_element = st.components.v2.component(
    "fer.timeline",
    html=(FOLDER / "element.html").read_text(encoding="utf-8"),
    css=(FOLDER / "element.css").read_text(encoding="utf-8"),
    js="\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS),
)


def state(key: str) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """What the visitor selected in the element: a span, and the part that is zoomed into; in ms."""
    found = st.session_state.get(key) or {}
    span, view = (found.get(name) for name in ("span", "view"))
    return (tuple(span) if span else None), (tuple(view) if view else None)


def draw(key: str, data: dict[str, Any], on_mark: Callable[[dict[str, Any]], None]) -> None:
    """Draws the element; `data` is that of `web.elements.timeline.data`.

    `on_mark` gets each new marker: `at`, `until` (None for a moment), `label` and `note`.
    """

    def marked() -> None:
        if mark := (st.session_state.get(key) or {}).get("mark"):
            on_mark(mark)

    nothing: Callable[[], None] = lambda: None  # noqa: E731
    _element(key=key, data=data, on_span_change=nothing, on_view_change=nothing, on_mark_change=marked)
