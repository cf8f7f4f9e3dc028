"""The page Live in Chromium with a fake camera: frames a second, and the delay of the shown picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from playwright.sync_api import Frame, Page

from fer_model.types import Image
from tests.support.pages import CAMERA_FLAGS, browsing, opened, serving_page

WIDTH, HEIGHT = 640, 480
BITS, BLOCK, TOP = 10, 24, 440
"""Each frame of the clip carries its number in black and white blocks below: bits, their side and place in pixels."""

NUMBERS = 2**BITS
WARM_UP_S, SECONDS, PAUSE_MS = 10, 20, 20

SHOWN = {
    "WebRTC": "document.querySelector('video')",
    "JPEG": "[...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('.camera canvas')).find(Boolean)",
}
"""By the way of connection: a script's expression for the element that shows the picture with its boxes."""

SAMPLES = """async ({ seconds, pause, bits, block, top, width }) => {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width, frameRate: 30 } });
  const frames = new MediaStreamTrackProcessor({ track: stream.getVideoTracks()[0] }).readable.getReader();
  const strip = new OffscreenCanvas(bits, 1).getContext("2d", { willReadFrequently: true });
  strip.imageSmoothingEnabled = false;
  const number = (source, w) => {
    const zoom = w / width;
    strip.drawImage(source, 0, top * zoom, bits * block * zoom, block * zoom, 0, 0, bits, 1);
    return strip.getImageData(0, 0, bits, 1).data.reduce((sum, v, n) => n % 4 ? sum : 2 * sum + (v > 127), 0);
  };
  let own = null, ended = false;
  (async () => {
    while (!ended) {
      const { value } = await frames.read();
      own = number(value, value.displayWidth);
      value.close();
    }
    stream.getTracks().forEach(track => track.stop());
  })();
  const samples = [], began = performance.now();
  while (performance.now() < began + 1000 * seconds) {
    await new Promise(done => setTimeout(done, pause));
    const element = SHOWN;
    if (own != null) samples.push([performance.now(), own, number(element, element.videoWidth ?? element.width)]);
  }
  ended = true;
  return samples;
}"""


class Delay(NamedTuple):
    """Frames a second that were shown, and how old the shown picture was at any moment, in milliseconds."""

    fps: float
    p50_ms: float
    p95_ms: float


def numbered_clip(picture: Image, path: Path) -> None:
    """Writes the camera's clip: a picture that moves a little, with the numbers of the frames."""
    with path.open("wb") as file:
        for number in range(NUMBERS):
            shift = abs(number % 40 - 20)
            frame = np.asarray(cv2.resize(picture[:, 300 + shift : 1240 + shift, ::-1], (WIDTH, HEIGHT)))
            for bit in range(BITS):
                value = 255 * (number >> (BITS - 1 - bit) & 1)
                frame[TOP : TOP + BLOCK, BLOCK * bit : BLOCK * (bit + 1)] = value
            file.write(cv2.imencode(".jpg", frame, (cv2.IMWRITE_JPEG_QUALITY, 90))[1].tobytes())


def delay_of(samples: Sequence[Sequence[float]]) -> Delay:
    """From moments in ms with the numbers of the camera's frame and of the shown one."""
    at, own, shown = np.array(samples).T
    seconds = (at[-1] - at[0]) / 1000
    steps = np.diff(own) % NUMBERS
    behind = (own - shown) % NUMBERS / (steps.sum() / seconds) * 1000
    p50, p95 = np.quantile(behind, (0.5, 0.95))
    return Delay(float(np.count_nonzero(np.diff(shown)) / seconds), float(p50), float(p95))


def measured(picture: Image, folder: Path) -> dict[str, Delay]:
    """Over WebRTC and by posted frames."""
    clip = folder / "camera.mjpeg"
    numbered_clip(picture, clip)
    camera = f"--use-file-for-fake-video-capture={clip}"
    surroundings = {"FER_UPLOADS_DIR": str(folder / "uploads")}
    found = {}
    with serving_page(folder / "web.log", f"sqlite:///{folder / 'results.db'}", **surroundings) as url:
        for way in SHOWN:
            with browsing(*CAMERA_FLAGS, camera) as chromium:
                found[way] = _seen(opened(chromium, f"{url}/live"), way)
    return found


def _seen(page: Page, way: str) -> Delay:
    page.get_by_text("No face in the last minute.").wait_for()
    page.get_by_text(way, exact=True).click()
    page.wait_for_timeout(2000)
    place: Frame = page.main_frame
    if way == "WebRTC":
        frame = page.locator("iframe[title*=webrtc]").element_handle().content_frame()
        assert frame
        place = frame
    place.get_by_role("button", name="Start").click()
    page.locator(".fer-strip td b").first.wait_for()
    page.wait_for_timeout(1000 * WARM_UP_S)
    sizes = {"bits": BITS, "block": BLOCK, "top": TOP, "width": WIDTH}
    script = SAMPLES.replace("SHOWN", SHOWN[way])
    return delay_of(place.evaluate(script, sizes | {"seconds": SECONDS, "pause": PAUSE_MS}))
