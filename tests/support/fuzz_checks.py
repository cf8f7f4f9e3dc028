"""What holds for every file and every answer, however damaged: it is read, or it fails in one sentence about itself."""

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fer_model.errors import UnreadableMediaError
from fer_model.sources.images import read_reduced
from fer_model.sources.index import index_video
from fer_model.sources.sampling import Sampling
from fer_model.sources.segments import cut
from fer_model.sources.video import read_video
from tests.support.mutations import mutated
from tests.support.servers import raw_server

Result = TypeVar("Result")

MOST = 2**31
"""Columns of the database hold integers below this."""


def check_video(uri: str, roots: tuple[str, ...] = ()) -> None:
    """Raises `AssertionError` if the index or the frames of a file would not fit into the database."""
    index = _or_sentence(uri, lambda: index_video(uri, roots))
    whole = _or_sentence(uri, lambda: [frame.index for frame in read_video(uri, threads=1, roots=roots)])
    for indices in (whole or []), _pieces(uri, roots, index) if index else []:
        assert indices == sorted(set(indices)), f"frames twice or out of order: {indices}"
    # A piece may reach further: after a seek, FFmpeg finds packets that a damaged index of the file leaves out.
    assert index is None or not whole or whole[-1] < len(index.times_ms), "a frame that the index lacks"
    if index is None:
        return
    assert 0 < index.width < MOST and 0 < index.height < MOST and 0 < index.duration_ms < 2**63
    assert math.isfinite(index.fps) and index.fps > 0, f"{index.fps} frames per second"
    assert len(index.times_ms) and index.times_ms[0] >= 0 and index.times_ms[-1] < 2**63


def _pieces(uri: str, roots: tuple[str, ...], index: "object") -> list[int]:
    indices: list[int] = []
    for piece in cut(index, Sampling(), 300)[:40]:  # type: ignore[arg-type]
        place = {"start_ms": piece.start_ms, "end_ms": piece.end_ms, "start_frame": piece.start_frame}
        frames = _or_sentence(
            uri,
            lambda place=place: [  # type: ignore[misc]
                (frame.index, frame.time_ms) for frame in read_video(uri, threads=1, roots=roots, **place)
            ],
        )
        for number, time_ms in frames or []:
            assert time_ms >= piece.start_ms and (piece.end_ms is None or time_ms < piece.end_ms)
            indices.append(number)
    return indices


def check_picture(uri: str, roots: tuple[str, ...] = ()) -> None:
    """Raises `AssertionError` if a picture is not RGB of some size."""
    read = _or_sentence(uri, lambda: read_reduced(uri, roots))
    if read is not None:
        image, (width, height) = read
        assert image.ndim == 3 and image.shape[2] == 3 and image.size and width > 0 and height > 0


def _or_sentence(uri: str, read: Callable[[], Result]) -> Result | None:
    try:
        return read()
    except UnreadableMediaError as error:
        sentence = str(error)
        assert sentence.startswith(f"{uri}: "), f"a sentence about something else: {sentence}"
        assert len(sentence) < 1000 and sentence.isprintable(), f"no sentence: {sentence!r}"
        return None


def check_number(number: int, folder: Path, clips: dict[str, bytes], pictures: dict[str, bytes]) -> None:
    """Case `number`: a damaged video, a damaged picture, or one of them from a server with damaged answers."""
    noise = random.Random(number)
    sort = noise.choice(("video", "video", "picture", "server"))
    seeds = pictures if sort == "picture" or (sort == "server" and noise.random() < 0.5) else clips
    name = noise.choice(sorted(seeds))
    check = check_picture if seeds is pictures else check_video
    if sort == "server":
        _check_served(noise, f"{number}-{name}", seeds[name], check)
        return
    path = folder / f"{number}-{name}"
    path.write_bytes(mutated(noise, seeds[name], list(seeds.values())))
    try:
        check(str(path))
    finally:
        path.unlink()


def _check_served(noise: random.Random, name: str, content: bytes, check: Callable[..., None]) -> None:
    def answer(head: bytes) -> list[bytes]:
        start, end = 0, len(content)
        if b"Range: bytes=" in head:
            first, _, last = head.partition(b"Range: bytes=")[2].split(b"\r\n")[0].partition(b"-")
            start, end = int(first), min(int(last) + 1, len(content))
        body = content[start:end]
        lines = (
            f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{end - 1}/{len(content)}\r\n"
            f'ETag: "a"\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n'
        ).encode()
        if noise.random() < 0.4:
            lines = mutated(noise, lines, [lines, b"HTTP/1.1 302 Found\r\nLocation: /b.jpg\r\n\r\n"])
        return [lines, body[: noise.randrange(len(body) + 1)] if noise.random() < 0.2 else body]

    with raw_server(answer) as url:
        check(f"{url}/{name}", (f"{url}/",))
