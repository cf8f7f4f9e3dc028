"""The page Streams."""

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.title("Streams")
