"""Where Streamlit starts. A folder of its own, since Streamlit takes the folder `pages` beside a script for its own."""
