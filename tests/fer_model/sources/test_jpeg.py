"""JPEGs that bypass Pillow's decoder, against Pillow's."""

import random
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fer_model.errors import UnreadableMediaError
from fer_model.sources import images, jpeg
from tests.support.clips import noise_picture

SMOOTH = Pillow.fromarray(noise_picture(160, 107)).resize((501, 373), Pillow.Resampling.BICUBIC)

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline": ("RGB", {}),
    "progressive": ("RGB", {"progressive": True}),
    "full colour": ("RGB", {"subsampling": 0}),
    "half colour": ("RGB", {"subsampling": 1}),
    "restart markers": ("RGB", {"restart_marker_blocks": 7}),
    "stored as RGB": ("RGB", {"keep_rgb": True}),
    "grey": ("L", {"optimize": True}),
    "CMYK": ("CMYK", {}),
}


def stored(mode: str, **options: Any) -> bytes:
    file = BytesIO()
    SMOOTH.convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def damaged(whole: bytes) -> Iterator[bytes]:
    """Cut off, with bytes changed, with bytes put in, with bytes taken out; the first ones have only odd ends."""
    chance = random.Random(len(whole))
    yield from (whole[:-2], whole[:-1], whole + bytes(50), whole + whole)
    for _ in range(8):
        place = chance.randrange(2, len(whole))
        changed = bytearray(whole)
        changed[place] ^= 1 + chance.randrange(255)
        yield from (whole[:place], bytes(changed))
        yield from (whole[:place] + chance.randbytes(8) + whole[place:], whole[:place] + whole[place + 99 :])


def outcome(content: bytes, least_side: int | None) -> object:
    try:
        picture, size = images._read(BytesIO(content), "a.jpg", least_side)
    except UnreadableMediaError as error:
        return str(error)
    return picture.shape, size, picture.tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("least_side", [None, 100], ids=["whole", "a quarter"])
def test_sound_and_damaged_jpegs_are_as_pillow_reads_them(
    monkeypatch: pytest.MonkeyPatch, kind: str, least_side: int | None
) -> None:
    mode, options = KINDS[kind]
    whole = stored(mode, **options)
    contents = [whole, *damaged(whole)]
    found = [outcome(content, least_side) for content in contents]
    monkeypatch.setattr(jpeg, "decoded", lambda *_: None)
    expected = [outcome(content, least_side) for content in contents]
    assert [at for at, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other] == []
    assert "a.jpg: is truncated" in expected, "some are refused"


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_jpeg_bypasses_pillow(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mode, options = KINDS[kind]
    monkeypatch.setattr(images, "_by_pillow", lambda *_: np.zeros((1, 1, 3), np.uint8))
    picture, _ = images._read(BytesIO(stored(mode, **options)), "a.jpg", 100)
    assert picture.shape == ((1, 1, 3) if mode == "CMYK" else (94, 126, 3))


def test_a_strip_is_read_though_an_eighth_of_it_has_no_height() -> None:
    file = BytesIO()
    Pillow.new("RGB", (20_000, 3), "red").save(file, "JPEG")
    picture, size = images.decode_reduced(BytesIO(file.getvalue()), "a.jpg")
    assert size == (20_000, 3)
    assert picture.shape[1] >= images.LEAST_SIDE
    assert (picture[0, 0] > (240, -1, -1)).all()
