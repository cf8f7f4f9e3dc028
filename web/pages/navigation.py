"""The pages and the bar that leads to them."""

import streamlit as st

from web.pages import analyse, jobs, live, models, streams, timeline
from web.parts.theme import STYLE

PAGES = {
    "": (analyse.page, "Analyse"),
    "live": (live.page, "Live"),
    "jobs": (jobs.page, "Jobs"),
    "timeline": (timeline.page, "Timeline"),
    "streams": (streams.page, "Streams"),
    "models": (models.page, "Models"),
}
"""By the path of each: its function and its title. Streamlit gives the default page no path but the root."""


def show() -> None:
    """Draws the bar and the page whose path the visitor opened."""
    st.set_page_config(page_title="fer-batch", layout="wide")
    st.html(f"<style>{STYLE}</style>")
    pages = [st.Page(draw, title=title, url_path=path, default=not path) for path, (draw, title) in PAGES.items()]
    st.navigation(pages, position="top").run()
