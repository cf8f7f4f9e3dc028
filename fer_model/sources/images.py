"""Reads photographs."""

import os
from collections.abc import Sequence
from math import ceil, sqrt
from typing import IO

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, UnidentifiedImageError
from pillow_heif import register_heif_opener

from fer_model.errors import UnreadableMediaError
from fer_model.sources import jpeg
from fer_model.sources.budget import Budget
from fer_model.sources.grey import RefusedError, eight_bits, is_deep, samples_of
from fer_model.sources.identity import UNKNOWN, Identity
from fer_model.sources.opening import open_media
from fer_model.sources.png import SIGNATURE, plain_png
from fer_model.types import Image

MAX_PIXELS = 178_956_970
"""The largest picture that is decoded, in pixels (about 13,400 x 13,400; half a gigabyte as RGB). Of a larger JPEG an
eighth of each side is decoded."""

MAX_BYTES = 2**30
"""The largest file of a picture."""

WITHIN_S = 60.0
"""Seconds for a picture to arrive from a web server: the others of its shard wait for it."""

_PER_PIXEL = 16
"""Bytes in use for each pixel while a picture is decoded and converted, at most; measured."""

_PER_COEFFICIENT = 6
"""Bytes that a progressive JPEG keeps for each pixel of its full size until its last scan, at any scale: 2 for each of
3 channels."""

_DECODING = Budget(2**30)
"""What all threads decode at a time: about 8,000 x 8,000 pixels. A larger picture is decoded alone."""

_READING = Budget(MAX_BYTES)
"""The same for the files as they are stored."""

_LARGE = 2**25
"""Pixels above which a reduced picture of any format is made smaller once it is decoded: pictures wait for the networks
in memory."""

ORIENTATION, QUARTER_TURNS = 0x0112, 5
"""EXIF's tag of the orientation, and the first value that exchanges width and height."""

_TURNS = {2: (False, 1), 3: (False, -1), 4: (False, 0), 5: (True, None), 6: (True, 1), 7: (True, -1), 8: (True, 0)}
"""For each orientation whether rows and columns are exchanged, and how OpenCV then flips the picture."""

# Only the formats of the known suffixes: other parsers (EPS runs Ghostscript) are never reached.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "JPEG2000", "AVIF", "HEIF")
register_heif_opener(thumbnails=False)

# Pillow would only warn, from half of our limit on: `_open` refuses instead.
Pillow.MAX_IMAGE_PIXELS = None

# Pillow reuses blocks of 16 MB, 64 MB in all: allocating new memory takes as long as decoding a JPEG into it.
Pillow.core.set_blocks_max(4)  # type: ignore[attr-defined]


LEAST_SIDE = 1920
"""Least long side, in pixels, of a reduced JPEG: three times the detector's input, so that a face of 16 pixels there,
which it finds well, has the 48 pixels of the classifiers' input."""


def read_reduced(uri: str, roots: Sequence[str] = (), expected: Identity = UNKNOWN) -> tuple[Image, tuple[int, int]]:
    """As `read_picture`, a large JPEG at a half, a quarter or an eighth of its size; and the original (width, height).

    JPEG's scaled decoding (DCT) never makes the large picture. Pictures of other formats are made smaller where they
    are enormous. The result may be read-only. Raises as `read_picture`.
    """
    with open_media(uri, roots, expected, WITHIN_S) as file:
        return _read(file, file.name, LEAST_SIDE)


def read_picture(uri: str, roots: Sequence[str] = (), expected: Identity = UNKNOWN) -> Image:
    """The picture as RGB, turned by its EXIF orientation.

    Transparent parts are laid on white. Grey, palette, CMYK and 16-bit pictures become 8-bit RGB; of a file
    with several pictures the first is taken.

    Raises:
        UnreadableMediaError: one sentence that begins with the path: outside `roots`, missing, empty, not the
            `expected` one, not a picture, truncated, damaged, or larger than `MAX_PIXELS`.
        TransientMediaError: a server does not answer.
    """
    with open_media(uri, roots, expected, WITHIN_S) as file:
        return _read(file, file.name)[0].copy()


def decode_reduced(file: IO[bytes], name: str, most_pixels: int | None = None) -> tuple[Image, tuple[int, int]]:
    """As `read_reduced`, of an open file or of one in memory: an upload, a camera's photograph.

    Raises:
        UnreadableMediaError: as `read_picture`, or it has more than `most_pixels`; the sentence begins with `name`.
    """
    if not file.read(1):
        raise UnreadableMediaError(f"{name}: the file is empty")
    return _read(file, name, LEAST_SIDE, most_pixels)


def _read(
    file: IO[bytes], name: str, least_side: int | None = None, most_pixels: int | None = None
) -> tuple[Image, tuple[int, int]]:
    """The picture in a file or in memory, and its original size; messages begin with `name`."""
    try:
        with _READING.taken(_bytes_in(file)), _open(file) as picture:
            whole = picture.size
            if most_pixels:
                _check_size(whole, whole, most_pixels)
            if least_side and (factor := max(whole) // least_side) > 1:
                # Picks an eighth, a quarter or a half, the smallest that is large enough; no effect on other formats.
                picture.draft(None, (max(1, whole[0] // factor), max(1, whole[1] // factor)))
            drafted = picture.size != whole
            progressive = whole[0] * whole[1] if picture.info.get("progressive") else 0
            _check_size(whole, whole if progressive else picture.size, MAX_PIXELS)
            with _DECODING.taken(picture.width * picture.height * _PER_PIXEL + progressive * _PER_COEFFICIENT):
                enormous = least_side is not None and picture.width * picture.height > _LARGE
                pixels = None if enormous else jpeg.decoded(picture, file)
                if pixels is None:
                    pixels = _by_pillow(picture, enormous)
                orientation = orientation_of(picture)
                original = whole if drafted else picture.size
                return _turned(pixels, orientation), original[::-1] if orientation >= QUARTER_TURNS else original
    except (UnreadableMediaError, MemoryError):
        raise
    except Exception as error:  # on damaged files Pillow's parsers raise exceptions of any type
        raise UnreadableMediaError(f"{name}: {_complaint(error)}") from error


def _by_pillow(picture: Pillow.Image, enormous: bool) -> Image:
    """The pixels of an opened picture of any format; a TIFF is upright then, and its size is that of the pixels."""
    picture.load()
    rgb = _rgb(picture)
    if enormous:
        rgb = rgb.reduce(ceil(sqrt(rgb.width * rgb.height / _LARGE)))
    return np.asarray(rgb, dtype=np.uint8)


def _turned(pixels: Image, orientation: int) -> Image:
    exchanged, flip = _TURNS.get(orientation, (False, None))
    if exchanged:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    return pixels if flip is None else np.asarray(cv2.flip(pixels, flip), np.uint8)


def _bytes_in(file: IO[bytes]) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > MAX_BYTES:
        raise RefusedError(f"has {size:,} bytes; of pictures at most {MAX_BYTES:,} are read")
    return size


def _check_size(whole: tuple[int, int], decoded: tuple[int, int], most: int) -> None:
    """Refuses a picture of which more than `most` pixels would be decoded."""
    if decoded[0] * decoded[1] > most:
        raise RefusedError(f"has {whole[0]:,} x {whole[1]:,} pixels; more than {most:,} are not decoded")


def _open(file: IO[bytes]) -> Pillow.Image:
    """Reads the header only."""
    head = file.read(16)
    file.seek(0)
    png = head.startswith(SIGNATURE)
    try:
        return Pillow.open(plain_png(file) if png else file, formats=("PNG",) if png else _FORMATS)
    except UnidentifiedImageError as error:
        if head[:4] in (b"II*\0", b"MM\0*"):
            raise RefusedError("is a TIFF of a kind that is not read; save it with 8 or 16 bits") from error
        raise


def orientation_of(picture: Pillow.Image) -> int:
    """EXIF's orientation, 1 to 8, of any type of number; 1 where it is something else, or where EXIF is damaged."""
    try:
        value = picture.getexif().get(ORIENTATION)
        value = value[0] if isinstance(value, (tuple, bytes)) else value
        number = 1 if isinstance(value, str) or value is None else int(value) if value == int(value) else 1
    except Exception:  # as in `_read`
        return 1
    return number if 1 <= number <= 8 else 1


def _rgb(picture: Pillow.Image) -> Pillow.Image:
    samples = samples_of(picture)
    if is_deep(picture, samples):
        return Pillow.fromarray(eight_bits(picture, samples)).convert("RGB")
    if picture.mode == "RGB":
        return picture
    if picture.mode == "LAB":
        rgb = ImageCms.profileToProfile(
            picture, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        assert rgb is not None
        return rgb
    if picture.has_transparency_data and not _is_padding(picture):
        white = Pillow.new("RGBA", picture.size, "white")
        picture = Pillow.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def _is_padding(picture: Pillow.Image) -> bool:
    """Whether the alpha of a BMP is zero everywhere: programs leave the fourth byte unused and call it alpha."""
    return picture.format in ("BMP", "DIB") and picture.mode == "RGBA" and picture.getchannel(3).getextrema() == (0, 0)


def _complaint(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "is not a picture (unknown format)"
    text = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in text or "unexpected end" in text:
        return "is truncated"
    return f"is damaged ({text or type(error).__name__})"
