"""Small media of every format, and ways to damage them: the same number always gives the same file."""

import random
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from pillow_heif import register_heif_opener

from tests.support.clips import noise_picture, panning_frames, write_clip

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
CLIPS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp4": ("mp4", "libx264", {}),
    "faststart": ("mp4", "libx264", {"movflags": "faststart"}),
    "fragmented": ("mp4", "libx264", FRAGMENTED),
    "mov": ("mov", "mpeg4", {}),
    "h265": ("mp4", "libx265", {}),
    "mkv": ("mkv", "libx264", {}),
    "webm": ("webm", "libvpx", {}),
    "vp9": ("webm", "libvpx-vp9", {}),
    "avi": ("avi", "mpeg4", {}),
    "msmpeg4": ("avi", "msmpeg4", {}),
    "ts": ("ts", "libx264", {}),
    "mpg": ("mpg", "mpeg2video", {}),
    "flv": ("flv", "flv1", {}),
    "wmv": ("wmv", "wmv2", {}),
}

PICTURES: dict[str, tuple[str, str, dict[str, object]]] = {
    "jpg": ("JPEG", "RGB", {}),
    "progressive": ("JPEG", "RGB", {"progressive": True}),
    "cmyk": ("JPEG", "CMYK", {}),
    "png": ("PNG", "RGBA", {}),
    "png16": ("PNG", "I;16", {}),
    "palette": ("PNG", "P", {"transparency": 0}),
    "webp": ("WEBP", "RGB", {}),
    "gif": ("GIF", "P", {}),
    "bmp": ("BMP", "RGB", {}),
    "tif": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "deflate": ("TIFF", "L", {"compression": "tiff_deflate"}),
    "float": ("TIFF", "F", {}),
    "jp2": ("JPEG2000", "RGB", {}),
    "avif": ("AVIF", "RGB", {}),
    "heic": ("HEIF", "RGB", {}),
}

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF)

Mutation = Callable[[random.Random, bytearray], None]


def clips(folder: Path) -> dict[str, bytes]:
    """A clip of two seconds in each container, by a name that ends with its suffix."""
    frames = list(panning_frames(noise_picture(), 30))
    found = {}
    for name, (suffix, codec, options) in CLIPS.items():
        path = write_clip(folder / f"{name}.{suffix}", frames, codec=codec, gop=10, container_options=options)
        found[path.name] = path.read_bytes()
    return found


def pictures() -> dict[str, bytes]:
    """A picture in each format, by a name that ends with `.jpg`: readers go by the content."""
    register_heif_opener()
    found = {}
    colours = Pillow.fromarray(noise_picture(96, 64))
    for name, (kind, mode, options) in PICTURES.items():
        grey = np.asarray(colours.convert("L"))
        if mode == "I;16":
            picture = Pillow.fromarray(grey.astype(np.uint16) * 257)
        else:
            picture = Pillow.fromarray(grey.astype(np.float32) / 255) if mode == "F" else colours.convert(mode)
        content = BytesIO()
        exif = Pillow.Exif()
        exif[0x0112] = 6
        picture.save(content, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}), **options)
        found[f"{name}.jpg"] = content.getvalue()
    return found


def mutated(noise: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """`content` with one to eight pieces of damage; most of it near the beginning or the end, where the headers are."""
    data = bytearray(content)
    for _ in range(noise.choice((1, 1, 2, 3, 8))):
        noise.choice(MUTATIONS)(noise, data)
        if not data:
            break
    if noise.random() < 0.05:
        other = noise.choice(others)
        data[_place(noise, data) :] = other[noise.randrange(len(other)) :]
    return bytes(data)


def _place(noise: random.Random, data: bytearray) -> int:
    where, size = noise.random(), max(1, len(data))
    if where < 0.4:
        return noise.randrange(min(size, 600))
    return max(0, size - 1 - noise.randrange(min(size, 1500))) if where < 0.7 else noise.randrange(size)


def _flip(noise: random.Random, data: bytearray) -> None:
    data[_place(noise, data)] ^= 1 << noise.randrange(8)


def _random(noise: random.Random, data: bytearray) -> None:
    at = _place(noise, data)
    length = noise.choice((1, 2, 4, 16))
    data[at : at + length] = noise.randbytes(min(length, len(data) - at))


def _number(noise: random.Random, data: bytearray) -> None:
    size = noise.choice((1, 2, 4, 8))
    value = (noise.choice(INTERESTING) + noise.choice((0, 0, 1, -1))) % 256**size
    at = _place(noise, data)
    data[at : at + size] = value.to_bytes(size, noise.choice(("big", "little")))[: len(data) - at]


def _zero(noise: random.Random, data: bytearray) -> None:
    at = _place(noise, data)
    length = min(noise.choice((16, 512, 4096)), len(data) - at)
    data[at : at + length] = bytes(length)


def _cut_out(noise: random.Random, data: bytearray) -> None:
    at = _place(noise, data)
    del data[at : at + noise.choice((1, 4, 100, 5000))]


def _repeat(noise: random.Random, data: bytearray) -> None:
    at = _place(noise, data)
    data[at:at] = data[at : at + noise.choice((1, 8, 200, 3000))]


def _end(noise: random.Random, data: bytearray) -> None:
    del data[noise.randrange(1, len(data) + 1) :]


def _box(noise: random.Random, data: bytearray) -> None:
    """A number of an mp4 box, a RIFF chunk or a PNG chunk: its length, or one of its first fields."""
    names = [found.start() for found in re.finditer(rb"[A-Za-z]{3}[A-Za-z0-9 ]", data)][:400]
    if names:
        at = max(0, noise.choice(names) + 4 * noise.choice((-1, 1, 2, 3, 4, 5, 6, noise.randrange(40))))
        value = (noise.choice(INTERESTING) + noise.choice((0, 0, 1, -1))) % 2**32
        data[at : at + 4] = value.to_bytes(4, noise.choice(("big", "little")))[: len(data) - at]


MUTATIONS: tuple[Mutation, ...] = (_flip, _random, _number, _number, _zero, _cut_out, _repeat, _end, _box, _box, _box)
