"""JPEGs by libjpeg-turbo, straight into an array: half of the time that Pillow takes, which uses the same library."""

from typing import IO

import numpy as np
import simplejpeg
from PIL import Image as Pillow

from fer_model.types import Image


def decoded(picture: Pillow.Image, file: IO[bytes]) -> Image | None:
    """The pixels, (height, width, 3) RGB, of an opened JPEG at the size that `Pillow.Image.draft` gave it.

    None for other formats, for CMYK, and for a file about which the library has anything to remark: Pillow then
    tells what is truncated from what is only odd.
    """
    if picture.format not in ("JPEG", "MPO") or picture.mode not in ("RGB", "L"):
        return None
    file.seek(0)
    try:
        pixels = simplejpeg.decode_jpeg(file.read(), min_width=picture.width, min_height=picture.height, strict=True)
    except ValueError:
        return None
    return np.asarray(pixels, np.uint8) if pixels.shape[1::-1] == picture.size else None
