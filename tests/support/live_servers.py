"""Live sources on loopback: RTSP by GStreamer, and by ffmpeg MPEG-TS over HTTP, TCP and UDP, MJPEG over HTTP, and HLS.

Each is a group of processes that a test can kill, freeze and start again at the same port. A test is skipped where the
program is missing (`.ci/run` installs it).
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from socketserver import StreamRequestHandler
from time import monotonic, sleep
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from fer_model.samples import PHOTOGRAPHS
from tests.support.clips import panning_frames, write_clip
from tests.support.servers import listening

DEBIAN_PYTHON = "/usr/bin/python3"
LONGEST_S = 1200
"""No server outlives this, whatever becomes of the test."""


class LiveServer:
    """A running server. `url` has no login; `url_with_login` is what a user might type."""

    def __init__(self, url: str, command: list[str], login: tuple[str, str] | None = None, port: int = 0) -> None:
        self.url, self.login, self._command, self._port = url, login, command, port
        scheme, _, rest = url.partition("://")
        part = ":".join(quote(word, safe="") for word in login) + "@" if login else ""
        self.url_with_login = f"{scheme}://{part}{rest}"
        self.start()

    def start(self) -> None:
        """Starts it at its port, and waits until it serves (UDP and HLS: it has begun)."""
        command = ["timeout", str(LONGEST_S), *self._command]
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
        if self._port:
            wait_until(lambda: _serves(self._port) or self._process.poll() is not None)
            assert self._process.poll() is None, f"it ended at once: {shlex.join(self._command)}"

    def freeze(self) -> None:
        """It keeps its connections and sends nothing (SIGSTOP)."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def wait_until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Returns when `holds()` is true; fails after so many seconds."""
    until = monotonic() + seconds
    while not holds():
        assert monotonic() < until, f"not within {seconds} s"
        sleep(0.02)


def write_live_clip(path: Path, seconds: float = 12.0, size: tuple[int, int] = (640, 360), fps: int = 25) -> Path:
    """A clip with faces as a camera encodes it: H.264, a keyframe each second, no B-frames."""
    number = round(seconds * fps / 2)
    stored = [np.asarray(cv2.imread(str(PHOTOGRAPHS / name)), np.uint8) for name in ("zidane.jpg", "bus.jpg")]
    photographs = [np.asarray(cv2.cvtColor(each, cv2.COLOR_BGR2RGB), np.uint8) for each in stored]
    frames = chain.from_iterable(panning_frames(photograph, number, size) for photograph in photographs)
    return write_clip(path, frames, fps=fps, gop=fps, bframes=0)


@contextmanager
def rtsp_server(clip: Path, user: str | None = None, password: str | None = None) -> Iterator[LiveServer]:
    """A GStreamer RTSP server that plays `clip` in a loop, for any number of clients, and sends RTCP sender reports."""
    if not _has_gstreamer():
        if user is None:
            with plain_rtsp_server(clip) as server:
                yield server
            return
        pytest.skip("GStreamer's RTSP server is missing: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0")
    login = None if user is None or password is None else (user, password)
    port, script = free_port(), Path(__file__).with_name("rtsp_server.py")
    command = [DEBIAN_PYTHON, str(script), str(port), str(clip), *(login or ())]
    # GStreamer was seen to crash; what waits for its pictures would wait for ever.
    with _running(LiveServer(f"rtsp://127.0.0.1:{port}/cam", _again(command), login, port)) as server:
        yield server


@contextmanager
def plain_rtsp_server(clip: Path) -> Iterator[LiveServer]:
    """An RTSP server that needs no GStreamer: without a password, and it ends with the clip for each client."""
    port = free_port()
    call = f"serve({str(clip.parent)!r}, '127.0.0.1', {port})"
    command = [sys.executable, "-c", f"import asyncio; from aio_rtsp_toolkit.server import serve; asyncio.run({call})"]
    with _running(LiveServer(f"rtsp://127.0.0.1:{port}/{clip.name}", command, port=port)) as server:
        yield server


@contextmanager
def http_ts(clip: Path) -> Iterator[LiveServer]:
    """MPEG-TS over HTTP, for one client at a time."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/cam.ts"
    with _running(LiveServer(url, _again(_ffmpeg(clip, "-f", "mpegts", "-listen", "1", url)), port=port)) as server:
        yield server


@contextmanager
def http_mjpeg(clip: Path) -> Iterator[LiveServer]:
    """A web camera's multipart JPEG over HTTP, for one client at a time."""
    port = free_port()
    url, kind = f"http://127.0.0.1:{port}/cam.mjpg", "multipart/x-mixed-replace;boundary=ffmpeg"
    options = ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "mpjpeg", "-content_type", kind, "-listen", "1")
    with _running(LiveServer(url, _again(_ffmpeg(clip, *options, url)), port=port)) as server:
        yield server


@contextmanager
def tcp_ts(clip: Path) -> Iterator[LiveServer]:
    """MPEG-TS over plain TCP, for one client at a time."""
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    command = _again(_ffmpeg(clip, "-f", "mpegts", f"{url}?listen=1"))
    with _running(LiveServer(url, command, port=port)) as server:
        yield server


@contextmanager
def udp_ts(clip: Path) -> Iterator[LiveServer]:
    """MPEG-TS in UDP packets, sent to a port whether anything listens or not."""
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    with _running(LiveServer(url, _again(_ffmpeg(clip, "-f", "mpegts", f"{url}?pkt_size=1316")))) as server:
        yield server


@contextmanager
def hls(clip: Path, folder: Path, seconds: float | None = None) -> Iterator[LiveServer]:
    """HLS with segments of one second and their dates; after `seconds` the playlist ends, and stays."""
    port = free_port()
    flags = "delete_segments+program_date_time"
    options = ("-f", "hls", "-hls_time", "1", "-hls_list_size", "5", "-hls_flags", flags, str(folder / "cam.m3u8"))
    limit = () if seconds is None else ("-t", str(seconds))
    pages = shlex.join([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(folder)])
    command = ["bash", "-c", f"{pages} & {shlex.join(_ffmpeg(clip, *limit, *options))}; wait"]
    with _running(LiveServer(f"http://127.0.0.1:{port}/cam.m3u8", command, port=port)) as server:
        wait_until((folder / "cam.m3u8").exists)
        yield server


@contextmanager
def tcp_sending(answer: Callable[[int], Iterable[bytes]]) -> Iterator[str]:
    """The address (`tcp://`) of a server that sends its n-th client (from 0) the pieces of `answer(n)` and hangs up."""
    clients = 0

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            nonlocal clients
            clients += 1
            with suppress(OSError):
                for piece in answer(clients - 1):
                    self.wfile.write(piece)

    with listening(Handler) as port:
        yield f"tcp://127.0.0.1:{port}"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that is free at this moment."""
    with socket.socket(socket.AF_INET, kind) as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def _running(server: LiveServer) -> Iterator[LiveServer]:
    try:
        yield server
    finally:
        server.kill()


def _ffmpeg(clip: Path, *output: str) -> list[str]:
    """A command that plays `clip` for ever at its own speed."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is missing: apt-get install ffmpeg")
    copy = () if "-c:v" in output else ("-c", "copy")
    return ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-an", *copy, *output]


def _again(command: list[str]) -> list[str]:
    """Runs it for ever: ffmpeg serves one client and ends."""
    return ["bash", "-c", f"while :; do {shlex.join(command)}; sleep 0.1; done"]


@cache
def _has_gstreamer() -> bool:
    look = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    with suppress(FileNotFoundError):
        return subprocess.run([DEBIAN_PYTHON, "-c", look], capture_output=True).returncode == 0
    return False


def _serves(port: int) -> bool:
    """Whether a TCP socket listens at the port, or has a client: a server of one client stops listening then, and
    connecting to try would use it up."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] in ("0A", "01") for fields in map(str.split, lines))
