"""Photographs that are stored in an unusual way, as a viewer shows them."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fer_model.errors import UnreadableMediaError
from fer_model.sources import open_source
from fer_model.sources.images import read_picture
from tests.support.broken import tiff
from tests.support.clips import noise_picture

PICTURE = noise_picture(96, 64)
GREY = PICTURE.mean(axis=2).astype(np.uint8)


def difference(path: Path, expected: object) -> float:
    image, wanted = read_picture(str(path)), np.asarray(expected, float)
    if wanted.ndim == 2:
        wanted = np.repeat(wanted[:, :, None], 3, axis=2)
    assert image.shape == wanted.shape
    return float(np.abs(image - wanted).mean())


def exif(kind: int, value: bytes, count: int = 1) -> bytes:
    """An EXIF block with nothing but an orientation of this type."""
    inline, beyond = (value.ljust(4, b"\0"), b"") if len(value) <= 4 else (struct.pack("<I", 26), value)
    entry = struct.pack("<HHI", 0x0112, kind, count) + inline
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + beyond


TYPES = {
    "byte": (1, struct.pack("B", 6)),
    "short": (3, struct.pack("<H", 6)),
    "long": (4, struct.pack("<I", 6)),
    "rational": (5, struct.pack("<II", 6, 1)),
    "signed byte": (6, struct.pack("b", 6)),
    "signed short": (8, struct.pack("<h", 6)),
    "signed long": (9, struct.pack("<i", 6)),
    "signed rational": (10, struct.pack("<ii", 6, 1)),
    "float": (11, struct.pack("<f", 6)),
    "double": (12, struct.pack("<d", 6)),
}


@pytest.mark.parametrize("name", TYPES)
def test_an_orientation_of_any_type_of_number_turns(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.jpg"
    Pillow.fromarray(PICTURE).save(path, quality=95, exif=exif(*TYPES[name]))
    assert difference(path, np.rot90(PICTURE, -1)) < 12


@pytest.mark.parametrize(
    ("kind", "value", "count"),
    [(3, struct.pack("<H", n), 1) for n in (0, 9, 65535)]
    + [(2, b"6\0", 2), (2, b"six\0", 4), (5, struct.pack("<II", 6, 0), 1), (5, struct.pack("<II", 13, 2), 1)]
    + [(12, struct.pack("<d", float("nan")), 1), (9, struct.pack("<i", -6), 1), (99, b"\6\0\0\0", 1), (3, b"", 0)],
)
def test_what_is_no_orientation_does_not_matter(tmp_path: Path, kind: int, value: bytes, count: int) -> None:
    path = tmp_path / "a.jpg"
    Pillow.fromarray(PICTURE).save(path, quality=95, exif=exif(kind, value, count))
    assert difference(path, PICTURE) < 12
    (frame,) = open_source(str(path), kind="image")
    assert frame.size == (96, 64)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_tiff_has_the_size_that_is_shown(tmp_path: Path, orientation: int) -> None:
    tags = Pillow.Exif()
    tags[0x0112] = orientation
    Pillow.fromarray(PICTURE).save(tmp_path / "a.tif", exif=tags)
    (frame,) = open_source(str(tmp_path / "a.tif"), kind="image")
    assert frame.size == frame.image.shape[1::-1] == ((96, 64) if orientation == 1 else (64, 96))


def png(*chunks: bytes) -> bytes:
    whole = BytesIO()
    Pillow.fromarray(PICTURE).save(whole, "png")
    data = whole.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def chunk(kind: bytes, data: bytes, wrong: int = 0) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)


LARGE = zlib.compress(bytes(3 << 20))


@pytest.mark.parametrize(
    "extra",
    [chunk(b"zTXt", b"Raw\0\0" + LARGE), chunk(b"iCCP", b"icc\0\0" + LARGE), chunk(b"tEXt", b"a\0" + b"b" * (2 << 20))]
    + [chunk(kind, b"some data", wrong=1) for kind in (b"tEXt", b"gAMA", b"pHYs", b"eXIf", b"tRNS", b"teSt")],
)
def test_a_png_is_its_picture_whatever_else_it_holds(tmp_path: Path, extra: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png(extra))
    assert difference(tmp_path / "a.png", PICTURE) == 0


def test_a_png_whose_picture_has_a_bad_checksum_is_damaged(tmp_path: Path) -> None:
    data = png()
    at = data.index(b"IDAT")
    (tmp_path / "a.png").write_bytes(data[: at + 40] + bytes([data[at + 40] ^ 1]) + data[at + 41 :])
    with pytest.raises(UnreadableMediaError, match=r"a\.png: is "):
        read_picture(str(tmp_path / "a.png"))


@pytest.mark.parametrize(("alpha", "expected"), [(0, PICTURE), (255, PICTURE)])
def test_an_alpha_of_zeros_in_a_bmp_is_none(tmp_path: Path, alpha: int, expected: np.ndarray) -> None:
    height, width = PICTURE.shape[:2]
    pixels = np.dstack([PICTURE[::-1, :, ::-1], np.full((height, width), alpha, np.uint8)]).tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 32, 3, len(pixels), 2835, 2835, 0, 0)
    header += (masks + b"BGRs").ljust(124 - len(header), b"\0")
    start = 14 + len(header)
    (tmp_path / "a.bmp").write_bytes(struct.pack("<2sIII", b"BM", start + len(pixels), 0, start) + header + pixels)
    assert difference(tmp_path / "a.bmp", expected) == 0


RAMP = np.linspace(0, 1, GREY.size, dtype=np.float32).reshape(GREY.shape)
TIFFS = {
    "8 bits, white is zero": (tiff(255 - GREY, 0), GREY),
    "16 bits": (tiff(GREY.astype(np.uint16) * 257, 1), GREY),
    "16 bits, white is zero": (tiff(65535 - GREY.astype(np.uint16) * 257, 0), GREY),
    "32 bits": (tiff((RAMP * 4e9).astype(np.uint32), 1), RAMP * 255),
    "16 bits with a sign": (tiff((RAMP * 60_000 - 30_000).astype(np.int16), 1), RAMP * 255),
    "8 bits with a sign": (tiff((GREY.astype(int) - 128).astype(np.int8), 1), GREY),
    "floats from 0 to 1": (tiff(RAMP, 1), RAMP * 255),
    "floats from 0 to 1, white is zero": (tiff(1 - RAMP, 0), RAMP * 255),
    "floats of any range": (tiff(RAMP * 5000 - 1000, 1), RAMP * 255),
    "RGB of 16 bits": (tiff(PICTURE.astype(np.uint16) * 257, 2), PICTURE),
    "RGB in planes": (tiff(PICTURE, 2, separate=True), PICTURE),
    "palette-like CMYK": (tiff(np.dstack([255 - PICTURE, np.zeros_like(PICTURE[:, :, :1])]), 5), PICTURE),
}


@pytest.mark.parametrize("name", TIFFS)
def test_tiffs_of_every_depth(tmp_path: Path, name: str) -> None:
    data, expected = TIFFS[name]
    (tmp_path / "a.tif").write_bytes(data)
    assert difference(tmp_path / "a.tif", expected) <= 1


def test_floats_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    values = RAMP.copy()
    values[:10], values[10:20] = np.nan, np.inf
    (tmp_path / "a.tif").write_bytes(tiff(values, 1))
    image = read_picture(str(tmp_path / "a.tif"))
    assert image[:20].max() == 0 and image[-1, -1, 0] == 255


def test_tiffs_that_are_not_read_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for name, data, sentence in (
        ("planes.tif", tiff(PICTURE.astype(np.uint16) * 257, 2, separate=True), "16 bits in separate planes"),
        ("floats.tif", tiff(PICTURE / np.float32(255), 2), "is a TIFF of a kind that is not read"),
        ("double.tif", tiff(RAMP.astype(np.float64), 1), "is a TIFF of a kind that is not read"),
        ("half.tif", tiff(RAMP.astype(np.float16), 1), "is a TIFF of a kind that is not read"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableMediaError, match=sentence):
            read_picture(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["heic", "heif", "avif", "jp2", "jfif", "jpe", "gif"])
def test_more_formats(tmp_path: Path, suffix: str) -> None:
    kind = {"heic": "HEIF", "heif": "HEIF", "jp2": "JPEG2000", "jfif": "JPEG", "jpe": "JPEG"}.get(suffix)
    Pillow.fromarray(PICTURE).save(tmp_path / f"a.{suffix}", kind)
    assert difference(tmp_path / f"a.{suffix}", PICTURE) < 15


def test_an_avif_is_turned_too(tmp_path: Path) -> None:
    tags = Pillow.Exif()
    tags[0x0112] = 6
    Pillow.fromarray(PICTURE).save(tmp_path / "a.avif", exif=tags, quality=90)
    assert difference(tmp_path / "a.avif", np.rot90(PICTURE, -1)) < 12


def test_of_a_gif_the_first_picture_is_taken(tmp_path: Path) -> None:
    pages = [Pillow.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    assert (read_picture(str(tmp_path / "a.gif")) == (255, 0, 0)).all()
