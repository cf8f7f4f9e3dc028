"""Grey pictures deeper than 8 bits, as 8 bits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

# TIFF 6.0: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339
_WHITE_IS_ZERO, _SEPARATE, _SIGNED, _UNSIGNED = 0, 2, 2, 1

STRIP = 64
"""Rows of a picture that are converted at a time."""


class RefusedError(ValueError):
    """The kind of picture is not supported; the message is the sentence without the file's name."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Sample format of a picture: bits per sample, whether signed, and whether 0 is white."""

    bits: int = 16
    signed: bool = False
    inverted: bool = False


def samples_of(picture: Pillow.Image) -> Samples:
    """The sample format in a TIFF's tags; the fixed one of other formats.

    Raises:
        RefusedError: separate planes of 16 bits, which Pillow reads wrongly.
    """
    tags = getattr(picture, "tag_v2", None)
    if tags is None:
        return Samples()
    bits, signed = max(tags.get(_BITS, (1,))), tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _SIGNED
    if tags.get(_PLANAR) == _SEPARATE and bits > 8 and len(picture.getbands()) > 1:
        raise RefusedError(f"is a TIFF with {bits} bits in separate planes, which is not read; save it in one")
    # Pillow itself inverts samples of 8 bits or fewer.
    return Samples(bits, signed, bits > 8 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def is_deep(picture: Pillow.Image, samples: Samples) -> bool:
    return picture.mode in ("I", "F") or picture.mode.startswith("I;16") or (picture.mode == "L" and samples.signed)


def eight_bits(picture: Pillow.Image, samples: Samples) -> NDArray[np.uint8]:
    """(height, width): integers up to 16 bits scaled by their depth, others by the picture's own range.

    Floats in 0..1 are scaled by 255; values that are not finite become black.
    """
    values: NDArray[Any] = np.asarray(picture)
    if picture.mode == "L":
        grey = values + np.uint8(128)
    elif values.dtype.itemsize == 2:
        # A lookup table instead of a copy in floats.
        table = (np.arange(65536) * 255 / (2 ** min(samples.bits, 16) - 1)).clip(0, 255).round().astype(np.uint8)
        grey = np.empty(values.shape, np.uint8)
        for rows in _strips(values):
            grey[rows] = table[values[rows]]
    else:
        unsigned = picture.mode == "I" and samples.bits == 32 and not samples.signed
        grey = _by_range(values.view(np.uint32) if unsigned else values, whole=picture.mode == "I")
    return np.subtract(255, grey, out=grey) if samples.inverted else grey


def _strips(values: NDArray[Any]) -> Iterator[slice]:
    """Rows to convert at a time: copies in a wider type then take little memory."""
    return (slice(start, start + STRIP) for start in range(0, len(values), STRIP))


def _by_range(values: NDArray[Any], whole: bool) -> NDArray[np.uint8]:
    grey = np.zeros(values.shape, np.uint8)
    low, high = _range(values)
    if low >= 0 and high <= (65535 if whole else 1):
        low, high = 0.0, 65535.0 if whole else 1.0
    if low < high:
        for rows in _strips(values):
            strip = values[rows]
            scaled = np.subtract(strip, low, dtype=np.float32)
            scaled *= np.float32(255 / (high - low))
            grey[rows] = np.where(np.isfinite(strip), scaled.clip(0, 255).round(), 0).astype(np.uint8)
    return grey


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """The lowest and the highest finite value; zeros if there is none."""
    finite = (strip[np.isfinite(strip)] for strip in (values[rows] for rows in _strips(values)))
    ends = [(float(strip.min()), float(strip.max())) for strip in finite if strip.size]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (0.0, 0.0)
