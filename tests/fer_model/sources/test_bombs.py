"""Small files that unpack to any size."""

import io
import resource
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from fer_model.errors import UnreadableMediaError
from fer_model.sources import container
from fer_model.sources.budget import Budget
from fer_model.sources.images import read_picture, read_reduced
from fer_model.sources.index import index_video
from fer_model.sources.video import read_video
from tests.support.clips import noise_picture, panning_frames, write_clip


def bomb(path: Path, codec: str, side: int) -> Path:
    """A video of one colour, `side` pixels wide and high."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = side
        stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        frame = av.VideoFrame(side, side, stream.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


@pytest.mark.parametrize(("codec", "suffix"), [("png", "mov"), ("mjpeg", "avi"), ("mpeg4", "mp4"), ("libx264", "mkv")])
@pytest.mark.parametrize("lies", [False, True])
def test_a_video_of_enormous_pictures_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, suffix: str, lies: bool
) -> None:
    path = bomb(tmp_path / f"a.{suffix}", codec, 1600)
    assert index_video(str(path)).width == 1600
    # In place of 8192 x 8192 pixels, which take seconds to write.
    monkeypatch.setattr(container, "MAX_PIXELS", 2**20)
    monkeypatch.setattr(container, "_LIMIT", {"max_pixels": str(2**20)})
    if lies:  # the header names a smaller picture
        content = path.read_bytes()
        form = "<II" if suffix == "avi" else ">HH"
        content = content.replace(struct.pack(form, 1600, 1600), struct.pack(form, 64, 64))
        path.write_bytes(content)
    for attempt in (lambda: index_video(str(path)), lambda: list(read_video(str(path)))):
        with pytest.raises(UnreadableMediaError, match=r"pixels|no picture in it can be decoded"):
            attempt()


def test_a_video_whose_pictures_grow_ends_where_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_clip(tmp_path / "a.ts", panning_frames(noise_picture(), 10), gop=5)
    large = bomb(tmp_path / "b.ts", "libx264", 1600)
    (tmp_path / "c.ts").write_bytes(small.read_bytes() + large.read_bytes())
    monkeypatch.setattr(container, "MAX_PIXELS", 2**20)
    monkeypatch.setattr(container, "_LIMIT", {"max_pixels": str(2**20)})
    assert [frame.size for frame in read_video(str(tmp_path / "c.ts"))] == [(96, 64)] * 10


def test_a_budget_lets_no_more_through_and_the_largest_alone() -> None:
    budget, inside, most = Budget(10), [0], [0]
    lock = threading.Lock()

    def work(size: int) -> None:
        with budget.taken(size):
            with lock:
                inside[0] += size
                most[0] = max(most[0], inside[0])
            time.sleep(0.002)
            with lock:
                inside[0] -= size

    threads = [threading.Thread(target=work, args=(size,)) for size in (3, 4, 5, 25, 1, 10) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 25 and inside[0] == 0


PEAK = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from fer_model.sources.images import read_reduced
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(4) as pool:
    assert [size for _, size in pool.map(read_reduced, sys.argv[1:])] == [(6000, 6000)] * len(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_four_threads_on_enormous_pictures_take_the_memory_of_one(tmp_path: Path) -> None:
    for number in range(4):
        Pillow.fromarray(np.zeros((6000, 6000), np.uint16)).save(tmp_path / f"{number}.png")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 500_000
    run = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, sorted(tmp_path.iterdir()))], capture_output=True, text=True, check=True
    )
    # In kilobytes: 36 million pixels at 16 bytes for one of them, and the four results.
    assert int(run.stdout) < 700_000


def test_an_enormous_picture_is_made_smaller_for_the_networks(tmp_path: Path) -> None:
    picture = np.zeros((4200, 8400, 3), np.uint8)
    picture[:, 4200:] = 255
    Pillow.fromarray(picture).save(tmp_path / "a.png")
    reduced, size = read_reduced(str(tmp_path / "a.png"))
    assert size == (8400, 4200) and reduced.shape == (2100, 4200, 3)
    assert not reduced[:, :2099].any() and (reduced[:, 2101:] == 255).all()
    assert read_picture(str(tmp_path / "a.png")).shape == (4200, 8400, 3)


def test_a_picture_of_more_bytes_than_a_picture_has_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(2**31)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnreadableMediaError, match=r"a\.png: has 2,147,483,648 bytes; of pictures at most"):
        read_picture(str(tmp_path / "a.png"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("mode", ["I", "F"])
def test_strips_give_the_same_as_the_whole(mode: str) -> None:
    from fer_model.sources.grey import Samples, eight_bits

    values = np.random.default_rng(0).integers(-500, 90_000, (201, 33)).astype(np.int32 if mode == "I" else np.float32)
    if mode == "F":
        values[7, 7], values[150, 3] = np.nan, np.inf
    low, high = values[np.isfinite(values)].min(), values[np.isfinite(values)].max()
    scale = np.float32(255 / (float(high) - float(low)))
    expected = np.where(np.isfinite(values), ((values - np.float32(low)).astype(np.float32) * scale).round(), 0)
    buffer = io.BytesIO()
    Pillow.fromarray(values).save(buffer, "TIFF")
    assert (eight_bits(Pillow.open(buffer), Samples(32, True)) == expected.astype(np.uint8)).all()
