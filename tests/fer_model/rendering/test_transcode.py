"""A rewritten video keeps its times and its sound."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.audio.stream
import numpy as np
import pytest

from fer_model.errors import UnreadableMediaError
from fer_model.rendering.transcode import transcode_video
from fer_model.sources import open_source
from fer_model.types import Image
from tests.support.clips import noise_picture, panning_frames, write_clip

TIMES = [0, 40, 80, 200, 240, 600, 640, 1000, 1040, 1080, 1500, 1540]


def untouched(place: int, time_ms: int, image: Callable[[], Image]) -> None:
    return None


def blackened(place: int, time_ms: int, image: Callable[[], Image]) -> Image:
    return np.zeros_like(image())


def clip(path: Path, *, size: tuple[int, int] = (96, 64), rotation: int = 0, start: int = 0) -> Path:
    frames = panning_frames(noise_picture(), len(TIMES), size)
    return write_clip(path, frames, pts=TIMES, rotation=rotation, start=start)


def with_sound(silent: Path, path: Path, codec: str, start_s: Fraction = Fraction(0)) -> Path:
    """A copy of a clip with two seconds of a tone."""
    with av.open(str(silent)) as source, av.open(str(path), "w") as output:
        copy = output.add_stream_from_template(source.streams.video[0])
        tone = output.add_stream(codec, rate=16_000)
        assert isinstance(tone, av.audio.stream.AudioStream)
        tone.layout = "mono"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
        samples = (8000 * np.sin(np.arange(32_000) / 10)).astype(np.int16)
        for first in range(0, 32_000, 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], format="s16", layout="mono")
            frame.rate, frame.time_base = 16_000, Fraction(1, 16_000)
            frame.pts = first + round(start_s * 16_000)
            output.mux(tone.encode(frame))
        output.mux(tone.encode())
    return path


def heard(path: Path) -> list[bytes]:
    """The packets of the sound."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def sound_begins(path: Path) -> float:
    """Seconds by which the sound begins after the first picture."""
    with av.open(str(path)) as container:
        video = min(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None)
        container.seek(0)
        audio = min(packet.pts * packet.time_base for packet in container.demux(audio=0) if packet.pts is not None)
    return float(audio - video)


def test_every_picture_keeps_its_time_and_its_place(tmp_path: Path) -> None:
    source = clip(tmp_path / "film.mp4")
    path = transcode_video(str(source), tmp_path / "new", blackened)
    assert path == tmp_path / "new.mp4"
    found = list(open_source(str(path), kind="video"))
    assert [frame.time_ms for frame in found] == TIMES
    assert all(frame.image.max() < 8 for frame in found)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["film.mp4", "new.mp4"]


def test_a_picture_that_is_left_alone_stays_as_it_is(tmp_path: Path) -> None:
    source = clip(tmp_path / "film.mp4")
    path = transcode_video(str(source), tmp_path / "new", untouched)
    for before, after in zip(open_source(str(source), kind="video"), open_source(str(path), kind="video"), strict=True):
        assert np.abs(before.image.astype(int) - after.image).mean() < 8


def test_a_change_is_told_the_place_and_the_time_of_its_picture(tmp_path: Path) -> None:
    received: list[tuple[int, int]] = []
    source = clip(tmp_path / "film.mp4")
    transcode_video(str(source), tmp_path / "new", lambda place, time_ms, image: received.append((place, time_ms)))
    assert received == list(enumerate(TIMES))


@pytest.mark.parametrize(("suffix", "codec", "becomes"), [("mp4", "aac", ".mp4"), ("mkv", "pcm_s16le", ".mkv")])
def test_sound_is_the_same_bytes(tmp_path: Path, suffix: str, codec: str, becomes: str) -> None:
    source = with_sound(clip(tmp_path / f"silent.{suffix}"), tmp_path / f"film.{suffix}", codec)
    path = transcode_video(str(source), tmp_path / "new", blackened)
    assert path.suffix == becomes and heard(path) == heard(source) != []


@pytest.mark.parametrize("delay", [Fraction(0), Fraction(1, 2)])
def test_sound_stays_with_the_picture(tmp_path: Path, delay: Fraction) -> None:
    silent = clip(tmp_path / "silent.mkv", start=2000)
    source = with_sound(silent, tmp_path / "film.mkv", "pcm_s16le", start_s=2 + delay)
    path = transcode_video(str(source), tmp_path / "new", blackened)
    assert (
        sound_begins(path) == pytest.approx(sound_begins(source), abs=0.002) == pytest.approx(float(delay), abs=0.002)
    )


def test_a_turned_video_becomes_upright(tmp_path: Path) -> None:
    source = clip(tmp_path / "film.mp4", rotation=90)
    path = transcode_video(str(source), tmp_path / "new", untouched)
    (before, *_), (after, *_) = (list(open_source(str(each), kind="video")) for each in (source, path))
    assert before.image.shape == after.image.shape == (96, 64, 3)
    assert np.abs(before.image.astype(int) - after.image).mean() < 8


def test_odd_sides_get_one_more(tmp_path: Path) -> None:
    def odd(place: int, time_ms: int, image: Callable[[], Image]) -> Image:
        return image()[:-1, :-1]

    path = transcode_video(str(clip(tmp_path / "film.mp4")), tmp_path / "new", odd)
    assert next(open_source(str(path), kind="video")).image.shape == (64, 96, 3)


def test_pictures_and_sound_are_interleaved(tmp_path: Path) -> None:
    source = with_sound(clip(tmp_path / "silent.mp4"), tmp_path / "film.mp4", "aac")
    with av.open(str(transcode_video(str(source), tmp_path / "new", blackened))) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    assert sum(a != b for a, b in pairwise(kinds)) > 4


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken(place: int, time_ms: int, image: Callable[[], Image]) -> Image:
        raise ValueError("in the middle")

    source = clip(tmp_path / "film.mp4")
    with pytest.raises(ValueError, match="in the middle"):
        transcode_video(str(source), tmp_path / "new", broken)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UnreadableMediaError):
        transcode_video(str(tmp_path / "text.mp4"), tmp_path / "new", untouched)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "text.mp4"]
