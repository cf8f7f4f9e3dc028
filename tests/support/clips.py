"""Real little clips and pictures for the tests of every room."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.video.stream
import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.types import Image


def noise_picture(width: int = 320, height: int = 240, seed: int = 0) -> Image:
    """A picture with detail at several scales, so that no two crops of it look alike."""
    rng = np.random.default_rng(seed)
    picture: NDArray[np.float32] = np.zeros((height, width, 3), np.float32)
    for cells in (4, 16, 48):
        coarse = rng.random((cells, cells, 3), dtype=np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    scaled: Image = (picture / picture.max() * 255).clip(0, 255).astype(np.uint8)
    return scaled


def panning_frames(image: Image, n: int, size: tuple[int, int] = (96, 64)) -> Iterator[Image]:
    """`n` pictures of `size` (width, height): a camera that pans over `image` while it zooms in to twice."""
    height, width = image.shape[:2]
    for step in np.linspace(0.0, 1.0, n):
        view = min(width / size[0], height / size[1]) * (1 - step / 2)
        w, h = max(1, int(size[0] * view)), max(1, int(size[1] * view))
        x, y = int((width - w) * step), int((height - h) * step)
        yield cv2.resize(image[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def write_clip(
    path: Path | str,
    frames: Iterable[Image],
    *,
    codec: str = "libx264",
    fps: float = 25,
    pts: Sequence[int] | None = None,
    start: int = 0,
    gop: int | None = None,
    bframes: int | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode RGB `frames` (equal, even sizes) into `path`, whose suffix chooses the container.

    `pts` gives each frame's time in milliseconds (a variable frame rate; otherwise steps of 1/fps s);
    `start` is added to every time, in milliseconds; `rotation` is the counter-clockwise angle in
    degrees (0, 90, 180, 270) by which a viewer must turn the stored pictures.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with _usual_priority(), av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=_encoder_options(codec, bframes, options))
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.pix_fmt = "yuv420p"
        tick = stream.codec_context.time_base = Fraction(1, 1000) if pts or start else 1 / rate
        if gop is not None:
            stream.gop_size = gop
        if rotation:
            stream.set_display_rotation(rotation)
        for number, picture in enumerate(frames):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            milliseconds = pts[number] if pts else number * 1000 / rate
            frame.pts = round((milliseconds + start) / 1000 / tick)
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path(path)


@contextmanager
def _usual_priority() -> Iterator[None]:
    """SVT-AV1 gives root's thread real-time priority: a browser started later would leave no processor to others."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _encoder_options(codec: str, bframes: int | None, options: dict[str, str] | None) -> dict[str, str]:
    quick = {
        "libx264": {"preset": "ultrafast", "threads": "1"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": "200k"},
        "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "200k"},
        "mpeg4": {"qscale": "4"},
    }.get(codec, {})
    return quick | ({} if bframes is None else {"bf": str(bframes)}) | (options or {})
