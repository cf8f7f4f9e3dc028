"""Elements with JavaScript of their own (Streamlit's components v2)."""
