"""The page Models."""

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.title("Models")
