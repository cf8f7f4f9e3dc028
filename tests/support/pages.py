"""The page as a visitor has it: a real server, and a real browser."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import cv2
import numpy as np
import requests
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.support.browser import browser
from tests.support.commands import ROOT
from tests.support.live_servers import free_port
from tests.support.watching import until

PASSWORD = "open sesame 42"
CAMERA_FLAGS = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
WAIT_MS = 60_000
"""Longest wait of the browser for anything; the machine may be busy."""

READABLE = 4.5
"""The least contrast of text (WCAG 2.2, 1.4.3)."""

LONGEST_S = 900.0
"""Longest use of a browser. Playwright keeps its time limits itself, and pytest's exception is lost in its event loop
while messages of a browser that went mad arrive: once such a test ran until the limit of the whole suite."""


@contextmanager
def serving_page(log: Path, database_url: str, *words: str, **environment: str) -> Iterator[str]:
    """Runs `fer-batch web`; gives its address without a slash at the end."""
    port = free_port()
    command = [sys.executable, "-P", "-m", "cli", "web", "--port", str(port), "--db", database_url, *words]
    url = f"http://127.0.0.1:{port}"
    # Servers of other tests clear the usual folder when they start.
    own = {"FER_UPLOADS_DIR": str(log.with_name("uploads"))} | environment
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | own, stdout=output, stderr=output)
    try:
        until(lambda: _answers(url) or process.poll() is not None, seconds=60)
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        process.wait(30)


def resident(url: str) -> int:
    """Bytes of memory of the server at an address."""
    port = f"--port\0{url.rpartition(':')[2]}\0"
    server = next(each for each in Path("/proc").glob("[0-9]*") if port in _command(each))
    kilobytes = re.search(r"VmRSS:\s+(\d+)", (server / "status").read_text())
    assert kilobytes
    return 1024 * int(kilobytes[1])


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


@contextmanager
def browsing(*flags: str) -> Iterator[Browser]:
    """Chromium without a window, for `LONGEST_S` at most; the test is skipped where there is none."""
    with sync_playwright() as playwright:
        limit = Timer(LONGEST_S, _end_driver)
        limit.start()
        try:
            chromium = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox", *flags])
            yield chromium
            chromium.close()
        finally:
            limit.cancel()


def _end_driver() -> None:
    """Ends this process's Playwright, and its browser with it: whatever waits for them fails."""
    me = os.getpid()
    for pid in map(int, Path(f"/proc/{me}/task/{me}/children").read_text().split()):
        if "run-driver" in _command(Path(f"/proc/{pid}")):
            os.kill(pid, signal.SIGKILL)


def camera_flags(samples: Path, clip: Path) -> tuple[str, ...]:
    """Flags for a Chromium whose camera shows two men who move a little, so that the frames differ."""
    picture = np.asarray(cv2.imread(str(samples / "zidane.jpg")))
    frames = [cv2.resize(picture[:, 300 + shift : 1260 + shift], (640, 480)) for shift in range(0, 20, 2)]
    clip.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    return (*CAMERA_FLAGS, f"--use-file-for-fake-video-capture={clip}")


def opened(chromium: Browser, url: str, *, width: int = 1280, theme: str = "light") -> Page:
    """A new window without cookies, at an address."""
    page = chromium.new_page(
        viewport={"width": width, "height": 900}, color_scheme="dark" if theme == "dark" else "light"
    )
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    return page


def contrast(text: Locator) -> float:
    """The contrast of a text with what is behind it, from 1 to 21, as WCAG 2.2 defines it."""
    colours: list[list[float]] = text.evaluate(
        """text => {
            const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
            const brush = canvas.getContext('2d', { willReadFrequently: true }), layers = [];
            for (let each = text; each; each = each.parentElement ?? each.getRootNode().host)
                layers.unshift(getComputedStyle(each).backgroundColor);
            const paint = (colour) => {
                brush.fillStyle = colour;
                brush.fillRect(0, 0, 1, 1);
                return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
            };
            return [layers.map(paint).at(-1), paint(getComputedStyle(text).color)];
        }"""
    )
    dark, light = sorted(_luminance(each) for each in colours)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Sequence[float]) -> float:
    linear = [each / 255 / 12.92 if each <= 10 else ((each / 255 + 0.055) / 1.055) ** 2.4 for each in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code < 500
    except (requests.ConnectionError, requests.Timeout):
        return False
