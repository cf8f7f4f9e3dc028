"""The page Timeline."""

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.title("Timeline")
