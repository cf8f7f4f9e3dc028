"""The page that asks for the password: HTML without scripts, so that nothing else has to pass the gate."""

from html import escape
from urllib.parse import quote

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fer-batch</title><link rel="icon" href="data:,"><style>
:root {{
  color-scheme: light dark; --text: #1b1b1b; --soft: #5c5c5c; --line: #c9c9c9; --ground: #fff; --accent: #0072b2;
}}
@media (prefers-color-scheme: dark) {{
  :root {{ --text: #ececec; --soft: #a8a8a8; --line: #4a4a4a; --ground: #161616; --accent: #3c9bd6; }}
}}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }}
form {{ width: min(20rem, 86vw); display: grid; gap: .75rem; }}
h1 {{ font-size: 1.4rem; margin: 0; }} p {{ margin: 0; color: var(--soft); }}
p[role=alert] {{ color: color-mix(in srgb, #d55e00 80%, var(--text)); }}
input, button {{ font: inherit; padding: .55rem .7rem; border-radius: 8px; border: 1px solid var(--line); width: 100%;
  box-sizing: border-box; background: transparent; color: inherit; }}
button {{ background: var(--accent); border-color: var(--accent); color: var(--ground); cursor: pointer; }}
label {{ display: grid; gap: .3rem; }}
</style></head><body><form method="post" action="/fer/login?next={next}">
<h1>fer-batch</h1><p>Who showed which emotion when.</p>
<label>Password<input type="password" name="password" autocomplete="current-password" required autofocus></label>
{note}<button>Enter</button></form></body></html>
"""


def login_page(wanted: str, problem: str | None = None) -> str:
    """The form, which leads to the path `wanted`; with a sentence about what went wrong."""
    note = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return _PAGE.format(next=quote(wanted), note=note)
