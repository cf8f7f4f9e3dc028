"""The page Analyse."""

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.title("Analyse")
