"""The page Jobs."""

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.title("Jobs")
