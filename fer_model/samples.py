"""Sample media without a download: two photographs, and a clip made from them."""

import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

PHOTOGRAPHS = Path(__file__).parent / "photographs"
"""From Ultralytics' package (AGPL-3.0, as this program)."""

FPS = 25
SIZE = (640, 360)


def write_samples(folder: Path) -> None:
    """Writes zidane.jpg, bus.jpg and clip.mp4 into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("zidane.jpg", "bus.jpg"):
        shutil.copy(PHOTOGRAPHS / name, folder / name)
    write_clip(folder / "clip.mp4", [folder / "zidane.jpg", folder / "bus.jpg"])


def write_clip(path: Path, photographs: list[Path], seconds: float = 4.0) -> None:
    """Pans and zooms over each photograph for some seconds; H.264 in mp4, 640x360, 25 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for photograph in photographs:
            pixels = np.asarray(cv2.imread(str(photograph)), np.uint8)
            for picture in _flight(pixels, round(seconds * FPS)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def _flight(photograph: NDArray[np.uint8], frames: int) -> Iterator[NDArray[np.uint8]]:
    """A window of 16:9 that grows from 60 to 100 % of the largest possible and drifts across."""
    height, width = photograph.shape[:2]
    largest = min(width, height * SIZE[0] / SIZE[1])
    for step in np.linspace(0, 1, frames):
        wide = largest * (0.6 + 0.4 * step)
        high = wide * SIZE[1] / SIZE[0]
        x = (width - wide) * (1 - step)
        y = (height - high) * (0.2 + 0.3 * step)
        scale = SIZE[0] / wide
        move = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
        yield np.asarray(cv2.warpAffine(photograph, move, SIZE, flags=cv2.INTER_AREA), np.uint8)
