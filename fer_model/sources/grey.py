"""Grey pictures deeper than 8 bits, as 8 bits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

# TIFF 6.0: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339
_WHITE_IS_ZERO, _SEPARATE, _SIGNED, _UNSIGNED = 0, 2, 2, 1


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
        grey = (values + np.uint8(128)).astype(np.uint8)
    elif values.dtype.itemsize == 2:
        # A lookup table instead of a copy in floats.
        grey = (np.arange(65536) * 255 / (2 ** min(samples.bits, 16) - 1)).clip(0, 255).round().astype(np.uint8)[values]
    else:
        unsigned = picture.mode == "I" and samples.bits == 32 and not samples.signed
        grey = _by_range(values.view(np.uint32) if unsigned else values, whole=picture.mode == "I")
    return 255 - grey if samples.inverted else grey


def _by_range(values: NDArray[Any], whole: bool) -> NDArray[np.uint8]:
    known = np.isfinite(values)
    present = values[known] if not known.all() else values
    low, high = (float(present.min()), float(present.max())) if present.size else (0.0, 0.0)
    if low >= 0 and high <= (65535 if whole else 1):
        low, high = 0.0, 65535.0 if whole else 1.0
    if not low < high:
        return np.zeros(values.shape, np.uint8)
    scaled = np.subtract(values, low, dtype=np.float32)
    scaled *= np.float32(255 / (high - low))
    return np.where(known, scaled.clip(0, 255).round(), 0).astype(np.uint8)
