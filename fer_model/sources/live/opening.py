"""Opens live sources with FFmpeg: which protocols and formats it may use, and how long it may wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from fer_model.errors import UnreadableMediaError
from fer_model.sources.container import FORMATS, MAX_PIXELS, films_of
from fer_model.sources.live.address import DEVICE, Login, with_login
from fer_model.sources.opening import open_media
from fer_model.sources.roots import check_permitted

OPEN_S, READ_S = 5.0, 5.0
"""Seconds for each of the two steps of opening, and for the next packet; FFmpeg may use the second twice."""

SEGMENTS_S = 30.0
"""The same for HLS, whose segments come up to 10 s apart."""

GRACE_S = 10.0
"""Seconds beyond its timeouts after which a connection is stuck."""

LIVE_FORMATS = f"{FORMATS},hls,mpjpeg,mjpeg,h264,hevc,sdp,rtsp,rtp"

_PROTOCOLS = {
    "rtsp": "rtsp,rtp,rtcp,tcp,udp",
    "rtsps": "rtsp,rtsps,rtp,rtcp,srtp,tcp,udp,tls",
    "http": "http,https,httpproxy,tcp,tls,crypto",
    "https": "http,https,httpproxy,tcp,tls,crypto",
    "udp": "udp",
    "tcp": "tcp",
    "srt": "srt",
}
"""What each scheme may open: a playlist or a redirect must not lead to files."""

# Where a transport stream moves its video to another PID, PyAV would wait for the old one without a timeout.
_TRANSPORT = {"merge_pmt_versions": "1"}

_OPTIONS = {
    # TCP where the camera has it: UDP loses packets, and each lost one spoils the pictures up to the next keyframe.
    "rtsp": {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video"},
    # Cameras have certificates of their own making: none of them could be verified.
    "rtsps": {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video", "tls_verify": "0"},
    # The newest segment alone: those before it are old.
    "http": {"live_start_index": "-1"} | _TRANSPORT,
    "https": {"live_start_index": "-1", "tls_verify": "0"} | _TRANSPORT,
    "udp": {"overrun_nonfatal": "1", "fifo_size": "50000"} | _TRANSPORT,
    "tcp": _TRANSPORT,
    "srt": _TRANSPORT,
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a live source is: its address without the login, the login, and the roots that it has to lie below."""

    uri: str
    login: Login | None = field(default=None, repr=False)
    roots: Sequence[str] = ()
    in_segments: bool = False
    """Whether it is HLS: known when it has been opened, and by most addresses."""

    @property
    def scheme(self) -> str:
        return "" if DEVICE.fullmatch(self.uri) else self.uri.partition("://")[0]

    @property
    def is_file(self) -> bool:
        return self.scheme == "file"

    @property
    def read_s(self) -> float:
        named = urlsplit(self.uri).path.lower().endswith((".m3u8", ".m3u"))
        return SEGMENTS_S if self.in_segments or named else READ_S

    @property
    def patience_s(self) -> float:
        """After so many seconds without a sign a connection is stuck: none of its timeouts has helped."""
        return 2 * OPEN_S + 2 * self.read_s + GRACE_S


@contextmanager
def opened(source: Source) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream; only the thread that opens it may read and close it.

    Raises:
        UnreadableMediaError: it lies outside the roots, is no file, or has no video.
        av.FFmpegError, OSError: it cannot be opened, and the message may contain the password.
    """
    check_permitted(source.uri, source.roots)
    with ExitStack() as stack:
        place: Any = with_login(source.uri, source.login)
        if source.is_file:
            place = stack.enter_context(open_media(source.uri, source.roots))
        container = stack.enter_context(
            av.open(
                place,
                format=None if source.scheme else "v4l2",
                options=_options(source),
                timeout=(OPEN_S, source.read_s),
                metadata_errors="ignore",
            )
        )
        yield container, _video_stream(container)


def _options(source: Source) -> dict[str, str]:
    # The frame rate from two frames. FFmpeg waits for twenty otherwise: at less than four a second it is still waiting
    # when its time is up.
    limits = {"max_pixels": str(MAX_PIXELS), "fpsprobesize": "2"}
    if not source.scheme:
        return limits
    limits |= {"protocol_whitelist": _PROTOCOLS.get(source.scheme, "none"), "format_whitelist": LIVE_FORMATS}
    options = limits | _OPTIONS.get(source.scheme, {})
    # The roots name hosts, and a redirect may lead to another one.
    return options | {"max_redirects": "0"} if source.roots else options


def _video_stream(container: InputContainer) -> VideoStream:
    films = [stream for stream in films_of(container) if stream.codec_context is not None]
    if not films:
        raise UnreadableMediaError("it has no video that can be decoded")
    chosen = max(films, key=lambda stream: stream.width * stream.height)
    for other in container.streams:
        if other is not chosen:
            other.discard = Discard.all  # or HLS would fetch every variant, and sound would pass for a sign of life
    return chosen
