"""The page Live: the visitor's webcam, over WebRTC or by posted frames."""

import secrets
import time
from datetime import datetime
from typing import Any

import streamlit as st
from streamlit_webrtc import VideoSinkTrack, WebRtcMode, WebRtcStreamerContext, webrtc_streamer

from results.errors import ResultsError
from web.elements.camera import camera
from web.live import Watch, people
from web.mirror import Mirror
from web.parts.names import plain
from web.parts.strip import STRIP_STYLE, strip
from web.server import this_server

CONNECT_S = 30.0
"""WebRTC that has not connected by then is replaced by posted frames: a firewall is in the way."""

RECORDS = "The boxes and emotions of faces are written into the database, no pictures. Everyone in view has to know."
CONSTRAINTS = {"video": {"width": 640, "height": 480, "frameRate": 30}, "audio": False}
VIDEO_STYLE = {"width": "100%", "maxWidth": "720px", "display": "block", "borderRadius": "8px"}
# No STUN: this machine and its network need none, and no third party learns of the visitor.
NO_SERVERS: dict[str, Any] = {"iceServers": []}
WAYS = {"WebRTC": "video both ways, the smoother one", "JPEG": "single frames, for networks that block WebRTC"}

Context = WebRtcStreamerContext[Any, Any]


def page() -> None:
    """Draws the page."""
    st.title("Live")
    st.html(f"<style>{STRIP_STYLE}</style>")
    st.caption("Your webcam's pictures go to this server, are analysed and forgotten.")
    if st.session_state.pop("blocked", False):
        st.session_state["way"] = "JPEG"
        st.info("WebRTC did not connect, so single frames are sent instead.")
    way = st.segmented_control("Connection", list(WAYS), key="way", default="WebRTC", required=True, help=_help())
    token = _token()
    watch = this_server().watches[token]
    _record(token)
    if way == "JPEG":
        camera(token, key="camera")
        _minute(watch, None)
    else:
        _minute(watch, _webrtc(token))


def _help() -> str:
    return "; ".join(f"{way}: {words}" for way, words in WAYS.items())


@st.cache_resource(scope="session", show_spinner="Loading the networks …", on_release=lambda token: _forget(token))
def _token() -> str:
    """The token of this visit's webcam."""
    server, token = this_server(), secrets.token_hex(16)
    server.watches[token] = Watch(server.analyser()[0], server.settings.detection_threshold)
    return token


def _forget(token: str) -> None:
    this_server().end_recording(token)
    this_server().watches.pop(token, None)


def _record(token: str) -> None:
    """The switch, off at first, and what it means."""
    wanted, on = st.toggle("Record", key="record", help=RECORDS), this_server().recordings.get(token)
    if wanted and (on is None or not on.is_on):
        name = datetime.now().strftime("webcam-%Y%m%d-%H%M%S")
        try:
            this_server().record(token, name)
        except ResultsError as error:
            st.error(plain(str(error)))
            return
        on = this_server().recordings[token]
    elif not wanted and on:
        this_server().end_recording(token)
        on = None
    if on:
        st.warning(f"Recording as the stream {on.name}. {RECORDS}", icon=":material/radio_button_checked:")


def _webrtc(token: str) -> Context:
    sink, mirror = _video(token)
    return webrtc_streamer(
        key="webrtc",
        mode=WebRtcMode.SENDRECV,
        rtc_configuration=NO_SERVERS,
        media_stream_constraints=CONSTRAINTS,
        sink_video_track=sink,
        source_video_track=mirror,
        media_toggle_controls=False,
        video_html_attrs={"autoPlay": True, "muted": True, "controls": False, "style": VIDEO_STYLE},
        translations={"start": "Start", "stop": "Stop", "select_device": "Choose a camera"},
    )


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda tracks: tracks[1].stop())
def _video(token: str) -> tuple[VideoSinkTrack, Mirror]:
    """Where the camera's frames go, and what comes back."""
    mirror = Mirror(this_server().watches[token])
    return VideoSinkTrack(mirror.show), mirror


@st.fragment(run_every=0.5)
def _minute(watch: Watch, context: Context | None) -> None:
    if context and _is_blocked(context, watch):
        st.session_state["blocked"] = True
        st.rerun(scope="app")
    st.html(strip(people(watch.moments(), time.monotonic()), watch.figures()))


def _is_blocked(context: Context, watch: Watch) -> bool:
    # The browser may learn late that its frames arrive.
    if not context.state.signalling or context.state.playing or watch.figures().fps > 0:
        st.session_state.pop("connecting since", None)
        return False
    since = st.session_state.setdefault("connecting since", time.monotonic())
    return time.monotonic() - since > CONNECT_S
