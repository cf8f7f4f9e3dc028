"""The look of the page: one accent colour, calm greys, light and dark."""

ACCENT = "#0072b2"
ACCENT_ON_DARK = "#3c9bd6"

THEME = {
    "theme.font": "sans-serif",
    "theme.baseRadius": "8px",
    "theme.showWidgetBorder": True,
    "theme.light.primaryColor": ACCENT,
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f5f5f4",
    "theme.light.textColor": "#1b1b1b",
    "theme.light.codeTextColor": "#1b1b1b",
    "theme.dark.primaryColor": ACCENT_ON_DARK,
    "theme.dark.backgroundColor": "#161616",
    "theme.dark.secondaryBackgroundColor": "#212121",
    "theme.dark.textColor": "#ececec",
    "theme.dark.codeTextColor": "#ececec",
}
"""Streamlit's options."""

STYLE = """
.block-container { padding-top: 4.5rem; padding-bottom: 3rem; max-width: 1180px; }
h1 { font-size: 1.6rem !important; font-weight: 600 !important; }
h2, h3 { font-size: 1.15rem !important; font-weight: 600 !important; }
[data-testid=stMetricValue] { font-size: 1.35rem; }
/* Wide tables of a model's card: they scroll, not the page. */
[data-testid=stMarkdownContainer] table { display: block; width: fit-content; max-width: 100%; overflow-x: auto; }
.fer-files { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; margin: 0; }
.fer-link {
  display: inline-block; padding: .45rem .75rem; border: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  border-radius: 8px; color: inherit !important; text-decoration: none !important; line-height: 1.4; font-size: .875rem;
}
.fer-link:hover { border-color: currentColor; }
.fer-files a { color: inherit; text-underline-offset: 3px; }
"""
"""CSS for what Streamlit has no option for."""
