from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from fer_model.errors import UnreadableMediaError
from fer_model.sources import open_source
from fer_model.sources.images import MAX_PIXELS, decode_reduced, read_picture, read_reduced
from tests.support.clips import noise_picture
from tests.support.media import huge_png

PICTURE = noise_picture(192, 128)


def save(path: Path, picture: Pillow.Image | None = None, **options: Any) -> str:
    (picture or Pillow.fromarray(PICTURE)).save(path, **options)
    return str(path)


def complaint(path: Path) -> str:
    """The error for a file, which is the same for its bytes."""
    with pytest.raises(UnreadableMediaError) as caught:
        read_picture(str(path))
    start, _, sentence = str(caught.value).partition(": ")
    assert start == str(path)
    if path.is_file():
        with pytest.raises(UnreadableMediaError) as of_bytes:
            decode_reduced(BytesIO(path.read_bytes()), "upload.jpg")
        assert str(of_bytes.value) == f"upload.jpg: {sentence}"
    return sentence


def error_of(picture: np.ndarray[Any, Any], expected: np.ndarray[Any, Any] = PICTURE) -> float:
    assert picture.dtype == np.uint8
    assert picture.shape == expected.shape
    return float(np.abs(picture.astype(int) - expected).mean())


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "jpg", "jpeg", "webp", "JPG"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    options: dict[str, Any] = {} if suffix in ("png", "bmp", "tif", "tiff") else {"quality": 95}
    picture = read_picture(save(tmp_path / f"a.{suffix}", **options))
    assert error_of(picture) <= (6 if options else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = {
        1: PICTURE,
        2: PICTURE[:, ::-1],
        3: PICTURE[::-1, ::-1],
        4: PICTURE[::-1],
        5: PICTURE.transpose(1, 0, 2),
        6: np.rot90(PICTURE, 1),  # the viewer turns it clockwise
        7: PICTURE[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PICTURE, -1),
    }[orientation]
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", Pillow.fromarray(np.ascontiguousarray(stored)), exif=exif, quality=95)
    assert error_of(read_picture(path)) < 6
    whole = read_picture(path)
    image, size = decode_reduced(BytesIO(Path(path).read_bytes()), "upload")
    np.testing.assert_array_equal(image, whole)
    assert size == (whole.shape[1], whole.shape[0])


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("L", "jpg"), ("P", "png"), ("1", "png"), ("CMYK", "jpg"), ("CMYK", "tif")]
)
def test_colour_modes_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    converted = Pillow.fromarray(PICTURE).convert(mode)
    picture = read_picture(save(tmp_path / f"a.{suffix}", converted))
    assert error_of(picture, np.asarray(converted.convert("RGB"))) < 6


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_range(tmp_path: Path, suffix: str) -> None:
    deep = (np.arange(48 * 32).reshape(32, 48) * 42).astype(np.uint16)
    picture = read_picture(save(tmp_path / f"a.{suffix}", Pillow.fromarray(deep)))
    assert error_of(picture, np.repeat((deep / 257).round()[:, :, None], 3, axis=2)) < 0.01


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_parts_are_white(tmp_path: Path, mode: str) -> None:
    clear = Pillow.new("RGBA", (4, 4), (200, 0, 0, 0)).convert(mode)
    path = save(tmp_path / ("a.png" if mode != "PA" else "a.tif"), clear)
    assert (read_picture(path) == 255).all()


def test_the_first_of_several_pictures_is_taken(tmp_path: Path) -> None:
    pages = [Pillow.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for name in ("a.tif", "a.webp", "a.png"):
        picture = read_picture(save(tmp_path / name, pages[0], save_all=True, append_images=pages[1:]))
        assert (picture[0, 0] > (240, -1, -1)).all()
        assert picture[0, 0, 2] < 20


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    error = complaint(huge_png(tmp_path / "huge.png", 20_000))
    assert error == f"has 20,000 x 20,000 pixels; more than {MAX_PIXELS:,} are not decoded"


def test_of_an_enormous_jpeg_an_eighth_is_decoded(tmp_path: Path) -> None:
    whole = Pillow.new("L", (16_000, 12_000), 90)
    whole.paste(200, (0, 0, 8_000, 12_000))
    assert whole.width * whole.height > MAX_PIXELS
    baseline, progressive = (tmp_path / f"{kind}.jpg" for kind in ("baseline", "progressive"))
    whole.save(baseline, quality=50)
    whole.save(progressive, quality=50, progressive=True)
    picture, original = read_reduced(str(baseline))
    assert original == (16_000, 12_000) and picture.shape == (1500, 2000, 3)
    assert abs(int(picture[700, 500, 0]) - 200) < 3 and abs(int(picture[700, 1500, 0]) - 90) < 3
    with pytest.raises(UnreadableMediaError, match="has 16,000 x 12,000 pixels; more than 178,956,970 are not decoded"):
        read_reduced(str(progressive))
    with pytest.raises(UnreadableMediaError, match="has 16,000 x 12,000 pixels"):
        read_picture(str(baseline))


def test_a_picture_just_below_the_limit_gives_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_model.sources.images.MAX_PIXELS", 1000 * 1000)
    assert read_picture(str(huge_png(tmp_path / "large.png", 1000))).shape == (1000, 1000, 3)
    assert complaint(huge_png(tmp_path / "larger.png", 1001)).startswith("has 1,001 x 1,001 pixels")


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "folder.jpg").mkdir()
    assert complaint(tmp_path / "empty.jpg") == "the file is empty"
    assert complaint(tmp_path / "text.jpg") == "is not a picture (unknown format)"
    assert complaint(tmp_path / "missing.jpg") == "does not exist"
    assert complaint(tmp_path / "folder.jpg") == "is a folder"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fer_model.sources.opening._without_waiting", deny)  # the superuser may read files of any mode
    assert complaint(tmp_path / "a.jpg") == "cannot be opened (Permission denied)"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
def test_truncated_and_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    whole = BytesIO()
    Pillow.fromarray(noise_picture(200, 150)).save(whole, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    error = complaint(path)
    assert error == "is truncated" if suffix in ("jpg", "png", "bmp") else error.startswith("is ")


def test_open_source_gives_one_frame(tmp_path: Path) -> None:
    (frame,) = open_source(f"file://{save(tmp_path / 'a.png')}", kind="image")
    assert (frame.index, frame.time_ms) == (0, 0)
    assert error_of(frame.image) == 0


@pytest.mark.parametrize(
    ("size", "kind", "orientation", "shape"),
    [
        ((1920, 1200), "JPEG", 1, (1200, 1920)),
        ((3839, 100), "JPEG", 1, (100, 3839)),
        ((4033, 3023), "JPEG", 1, (1512, 2017)),
        ((4032, 3024), "JPEG", 6, (2016, 1512)),
        ((9000, 600), "JPEG", 1, (150, 2250)),
        ((4032, 3024), "PNG", 1, (3024, 4032)),
    ],
)
def test_large_jpegs_are_read_at_a_part_of_their_size(
    tmp_path: Path, size: tuple[int, int], kind: str, orientation: int, shape: tuple[int, int]
) -> None:
    path = tmp_path / "a.jpg"
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    Pillow.linear_gradient("L").resize(size).convert("RGB").save(path, kind, exif=exif)
    (frame,) = open_source(str(path), kind="image")
    turned = orientation >= 5
    assert frame.image.shape[:2] == shape
    assert frame.size == (size[::-1] if turned else size)
    whole = read_picture(str(path))
    assert whole.shape[:2] == frame.size[::-1], "the picture itself is read at full size"
    expected = cv2.resize(whole, frame.image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(expected.astype(int) - frame.image).max() <= 4
