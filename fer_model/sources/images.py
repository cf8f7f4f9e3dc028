"""Photographs."""

from collections.abc import Sequence
from io import BytesIO
from typing import IO

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from fer_model.errors import UnreadableMediaError
from fer_model.sources.opening import open_media
from fer_model.types import Image

MAX_PIXELS = 178_956_970
"""The largest picture that is decoded, in pixels (about 13,400 x 13,400; half a gigabyte as RGB)."""

ORIENTATION, QUARTER_TURNS = 0x0112, 5
"""EXIF's tag, and the first of its values that exchange width and height."""

# Only what the suffixes promise: other parsers (EPS, for one, runs Ghostscript) stay out of reach.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF")

# Pillow would warn from half of our limit on, and a warning is no answer to a worker: `_open` refuses instead.
Pillow.MAX_IMAGE_PIXELS = None

# Blocks of 16 MB that Pillow keeps for the next picture, 64 MB in all: getting new memory takes as long as decoding a
# JPEG into it.
Pillow.core.set_blocks_max(4)  # type: ignore[attr-defined]


LEAST_SIDE = 1920
"""Long side in pixels of what remains of a large JPEG: three times what the detector sees, so that faces of 16 pixels
there, which it finds well, still have the 48 that the classifiers see."""


def read_reduced(uri: str, roots: Sequence[str] = ()) -> tuple[Image, tuple[int, int]]:
    """As `read_picture`, a large JPEG at a half, a quarter or an eighth of its size; and the original (width, height).

    JPEG's own transform gives the smaller picture without ever making the large one. It is read-only. Raises as
    `read_picture`.
    """
    with open_media(uri, roots) as file:
        return _read(file, file.name, LEAST_SIDE)


def read_picture(uri: str, roots: Sequence[str] = ()) -> Image:
    """The picture as RGB, turned as its EXIF orientation says.

    Transparent parts are laid on white. Grey, palette, CMYK and 16-bit pictures become 8-bit RGB; of a file
    with several pictures the first is taken.

    Raises:
        UnreadableMediaError: one sentence that begins with the path: outside `roots`, missing, empty, not a picture,
            truncated, damaged, or larger than `MAX_PIXELS`.
        TransientMediaError: a server does not answer.
    """
    with open_media(uri, roots) as file:
        return _read(file, file.name)[0].copy()


def decode_image(data: bytes, name: str) -> Image:
    """As `read_picture`, of a picture that is in memory already: an upload, a camera's photograph.

    Raises:
        UnreadableMediaError: as `read_picture`; the sentence begins with `name`.
    """
    if not data:
        raise UnreadableMediaError(f"{name}: the file is empty")
    return _read(BytesIO(data), name)[0].copy()


def _read(file: IO[bytes], name: str, least_side: int | None = None) -> tuple[Image, tuple[int, int]]:
    try:
        with _open(file, name) as picture:
            width, height = picture.size
            if least_side and (factor := max(width, height) // least_side) > 1:
                # Of an eighth, a quarter and a half the smallest that is not smaller; does nothing for other formats.
                picture.draft(None, (width // factor, height // factor))
            turned = picture.getexif().get(ORIENTATION, 1) >= QUARTER_TURNS
            size = (height, width) if turned else (width, height)
            ImageOps.exif_transpose(picture, in_place=True)
            return np.asarray(_rgb(picture), dtype=np.uint8), size
    except (UnreadableMediaError, MemoryError):
        raise
    except Exception as error:  # Pillow's parsers raise whatever they stumble over in a damaged file
        raise UnreadableMediaError(f"{name}: {_complaint(error)}") from error


def _open(file: IO[bytes], name: str) -> Pillow.Image:
    """Reads the header only."""
    picture = Pillow.open(file, formats=_FORMATS)
    width, height = picture.size
    if width * height > MAX_PIXELS:
        picture.close()
        raise UnreadableMediaError(
            f"{name}: has {width:,} x {height:,} pixels; more than {MAX_PIXELS:,} are not decoded"
        )
    return picture


def _rgb(picture: Pillow.Image) -> Pillow.Image:
    if picture.mode == "RGB":
        return picture
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _from_deep_grey(picture)
    if picture.has_transparency_data:
        white = Pillow.new("RGBA", picture.size, "white")
        picture = Pillow.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def _from_deep_grey(picture: Pillow.Image) -> Pillow.Image:
    """Pillow's own conversion cuts off all above 255."""
    grey = np.asarray(picture, dtype=np.float64)
    if picture.mode != "F":
        grey = grey / 257  # 65535 -> 255
    elif grey.size and grey.max() <= 1:
        grey = grey * 255
    return Pillow.fromarray(grey.clip(0, 255).round().astype(np.uint8)).convert("RGB")


def _complaint(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is not a picture (unknown format)"
    text = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in text or "unexpected end" in text:
        return "is truncated"
    return f"is damaged ({text or type(error).__name__})"
