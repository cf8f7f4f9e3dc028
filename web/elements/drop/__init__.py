"""A place for files: dropped, chosen or pasted, which go to the disk of the server as they arrive."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from web.elements.source import source
from web.server import this_server

_HTML = """
<div class="drop" role="group" style="visibility: hidden">
  <label><input type="file" multiple><strong></strong><span class="hint"></span></label>
  <ul aria-live="polite"></ul>
</div>
"""
_element = st.components.v2.component("fer.drop", html=_HTML, css=source("drop", "css"), js=source("drop", "js"))


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file of the visitor on the server: its number, the name that the visitor knows, and its path."""

    number: str
    name: str
    path: Path


def drop(label: str, hint: str, *, key: str, accept: str) -> list[Dropped]:
    """Draws the place and gives the files that have arrived, the first first.

    `accept` is as HTML's attribute: `image/*`. The files lie there until the visit ends; `Uploads.keep` saves one.
    """
    token = visit()
    data = {"to": f"/fer/uploads/{token}/", "label": label, "hint": hint, "accept": accept}
    state = _element(key=key, data=data, on_files_change=lambda: None)
    given = [str(each.get("id")) for each in state.get("files") or [] if isinstance(each, dict)]
    found = [(number, this_server().uploads.find(token, number)) for number in given]
    return [Dropped(number, path.name, path) for number, path in found if path]


def visit() -> str:
    """The token of this visit, whose uploads are deleted when it ends; a new one after an absence that ended it."""
    token = st.session_state.get("visit")
    if token is None or not this_server().uploads.is_open(_held(token)):
        token = st.session_state["visit"] = this_server().uploads.begin()
    return _held(token)


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda token: this_server().uploads.end(token))
def _held(token: str) -> str:
    this_server().uploads.hold(token)
    return token
