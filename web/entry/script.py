"""What Streamlit runs for each visitor and each interaction: the navigation and the chosen page."""

from web.pages.navigation import show

show()
