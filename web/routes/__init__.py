"""Routes beside Streamlit's own, all below `/fer/` and behind the gate."""
