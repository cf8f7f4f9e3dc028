"""The page Live."""

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.title("Live")
