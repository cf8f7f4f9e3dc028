"""The webcam by posted frames: JPEG to `/fer/frames/`, faces back, drawn over the picture."""

import streamlit as st

from fer_model.rendering.palette import hex_colour
from fer_model.types import EMOTIONS
from web.elements.source import source

_HTML = """
<div class="camera">
  <video muted playsinline hidden></video>
  <canvas width="640" height="480" role="img" aria-label="Your webcam with the faces found in it"></canvas>
  <div class="bar"><button type="button">Start</button><span role="status"></span></div>
</div>
"""
_element = st.components.v2.component("fer.camera", html=_HTML, css=source("camera", "css"), js=source("camera", "js"))


def camera(token: str, *, key: str) -> None:
    """Draws the webcam of a visit whose `Watch` has this token."""
    colours = {emotion: hex_colour(emotion) for emotion in EMOTIONS}
    _element(key=key, data={"to": f"/fer/frames/{token}", "colours": colours})
