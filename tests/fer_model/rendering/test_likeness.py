"""A rewritten video looks and sounds like its source."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import av.audio.stream
import av.video.stream
import numpy as np
import pytest

from fer_model.rendering.transcode import transcode_video
from fer_model.sources.index import index_video
from fer_model.sources.video import read_video
from fer_model.types import Image

BARS = np.repeat(np.repeat(np.array([[[200, 30, 30], [30, 180, 40], [40, 40, 190]]], np.uint8), 32, 1), 64, 0)
BARS = np.ascontiguousarray(BARS)


def every_second(place: int, time_ms: int, image: Callable[[], Image]) -> Image | None:
    return image().copy() if place % 2 else None


def film(
    path: Path,
    *,
    space: int = 2,
    full: int = 1,
    pixels: str = "yuv420p",
    aspect: Fraction = Fraction(1),
    sound: str | None = None,
    begins_s: float = 0,
) -> Path:
    """Ten pictures from `begins_s` on, and sound from the beginning on for as long as the film."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        context = stream.codec_context
        context.colorspace, context.color_range, context.sample_aspect_ratio = space, full, aspect
        context.color_primaries = context.color_trc = space if space in (1, 9) else 2
        tone = None if sound is None else container.add_stream(sound, rate=16_000)
        if tone is not None:
            assert isinstance(tone, av.audio.stream.AudioStream)
            tone.layout, tone.bit_rate = "mono", 32_000
            for first in range(0, round((begins_s + 0.4) * 16_000), 1024):
                samples = (8000 * np.sin(np.arange(first, first + 1024) / 10)).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
                frame.rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), first
                container.mux(tone.encode(frame))
            container.mux(tone.encode())
        for number in range(10):
            picture = av.VideoFrame.from_ndarray(BARS, format="rgb24")
            known = {} if space == 2 else {"dst_colorspace": {9: 9, 1: 1}.get(space, 5)}
            new = picture.reformat(format=pixels, dst_color_range=full, **known)
            new.pts, new.time_base = number + round(25 * begins_s), Fraction(1, 25)
            container.mux(stream.encode(new))
        container.mux(stream.encode())
    return path


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def tags(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    return frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full", [1, 2])
@pytest.mark.parametrize("space", [1, 2, 5, 6, 9])
def test_all_pictures_have_the_colours_of_the_source(tmp_path: Path, space: int, full: int, pixels: str) -> None:
    source = film(tmp_path / "a.mp4", space=space, full=full, pixels=pixels)
    path = transcode_video(str(source), tmp_path / "new", every_second)
    before, after = decoded(source), decoded(path)
    assert {tags(frame) for frame in after} == {tags(before[0])}
    assert len(after) == 10
    planes = [frame.to_ndarray()[:64].astype(int) for frame in after]
    assert max(np.abs(plane - planes[0]).max() for plane in planes) <= 4, "drawn and untouched ones"
    for frame in read_video(str(path)):
        assert np.abs(frame.image[8:-8, 8:24].astype(int) - BARS[8:-8, 8:24]).max() < 10


def test_what_had_other_pixels_gets_square_ones(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", aspect=Fraction(2))
    index = index_video(str(transcode_video(str(source), tmp_path / "new", every_second)))
    assert (index.width, index.height) == (192, 64)


def heard(path: Path) -> tuple[str, float, float]:
    """Codec, and the seconds of the first picture's and the last sound's beginning after that of the first sound."""
    with av.open(str(path)) as container:
        packets = [
            (packet.stream.type, packet.pts * packet.time_base)
            for packet in container.demux()
            if packet.pts is not None and not packet.is_discard
        ]
        sounds = [second for kind, second in packets if kind == "audio"]
        pictures = [second for kind, second in packets if kind == "video"]
        name = container.streams.audio[0].codec_context.codec.canonical_name
    return name, float(min(pictures) - min(sounds)), float(max(sounds) - min(sounds))


@pytest.mark.parametrize(
    ("suffix", "codec", "becomes"),
    [
        ("avi", "adpcm_ima_wav", "aac"),
        ("avi", "adpcm_ms", "aac"),
        ("avi", "pcm_mulaw", "aac"),
        ("wmv", "wmav2", "aac"),
        ("mov", "pcm_alaw", "aac"),
        ("mkv", "libmp3lame", "mp3"),
        ("mkv", "mp2", "mp2"),
    ],
)
def test_sound_that_the_file_cannot_hold_is_encoded_anew(tmp_path: Path, suffix: str, codec: str, becomes: str) -> None:
    source = film(tmp_path / f"a.{suffix}", sound=codec)
    notes: list[str] = []
    path = transcode_video(str(source), tmp_path / "new", every_second, on_note=notes.append)
    name, offset, length = heard(path)
    assert (name, notes) == (becomes, [])
    _, offset_before, length_before = heard(source)
    assert offset == pytest.approx(offset_before, abs=0.1) and length == pytest.approx(length_before, abs=0.15)
    assert len(decoded(path)) == 10


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_sound_that_begins_before_the_picture_keeps_its_time(tmp_path: Path, suffix: str) -> None:
    source = film(tmp_path / f"a.{suffix}", sound="aac", begins_s=3)
    _, offset, length = heard(transcode_video(str(source), tmp_path / "new", every_second))
    assert offset == pytest.approx(3, abs=0.1) and length == pytest.approx(3.4, abs=0.2)
    assert [frame.time_ms for frame in read_video(str(tmp_path / "new.mp4"))] == [40 * n for n in range(10)]


def test_sound_that_cannot_be_decoded_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mov", sound="pcm_alaw")
    source.write_bytes(source.read_bytes().replace(b"alaw", b"zzzz"))
    notes: list[str] = []
    path = transcode_video(str(source), tmp_path / "new", every_second, on_note=notes.append)
    assert len(decoded(path)) == 10
    assert notes == [f"{source}: its sound (of an unknown codec) cannot be written and is left out"]
