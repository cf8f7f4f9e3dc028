"""Sample aspect ratios, several streams, encryption, lengths: a video as a player shows it."""

from collections.abc import Callable
from fractions import Fraction
from io import BufferedReader
from pathlib import Path

import av
import av.video.stream
import cv2
import numpy as np
import pytest

from fer_model.errors import UnreadableMediaError
from fer_model.sources.index import index_video
from fer_model.sources.scan import Scan, scan
from fer_model.sources.video import read_video
from fer_model.types import Image
from tests.support.clips import noise_picture, panning_frames, write_clip

PICTURES = list(panning_frames(noise_picture(), 20))


def clip(path: Path, aspect: Fraction, pictures: list[Image], rotation: int = 0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.sample_aspect_ratio = "yuv420p", aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "avi"])
@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(2), (192, 64)),
        (Fraction(64, 45), (137, 64)),
        (Fraction(1, 2), (96, 128)),
        (Fraction(1), (96, 64)),
        (Fraction(100), (96, 64)),
    ],
)
def test_pixels_are_shown_square(tmp_path: Path, suffix: str, aspect: Fraction, size: tuple[int, int]) -> None:
    path = clip(tmp_path / f"a.{suffix}", aspect, PICTURES[:3])
    index = index_video(str(path))
    assert (index.width, index.height) == size
    for frame, picture in zip(read_video(str(path)), PICTURES[:3], strict=True):
        assert frame.image.shape[1::-1] == size
        assert np.abs(frame.image.astype(int) - cv2.resize(picture, size)).mean() < 12


def test_pixels_become_square_before_the_picture_is_turned(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", Fraction(2), PICTURES[:3], rotation=90)
    index = index_video(str(path))
    assert (index.width, index.height) == (64, 192)
    expected = np.rot90(cv2.resize(PICTURES[0], (192, 64)))
    assert np.abs(next(read_video(str(path))).image.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("threads", [1, 3])
def test_an_aspect_ratio_that_changes_changes_with_its_picture(tmp_path: Path, threads: int) -> None:
    parts = [
        clip(tmp_path / f"{n}.ts", aspect, PICTURES[10 * n : 10 * n + 10]).read_bytes()
        for n, aspect in enumerate((Fraction(1), Fraction(2)))
    ]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    sizes = [frame.size for frame in read_video(str(tmp_path / "joined.ts"), threads=threads)]
    assert sizes == [(96, 64)] * 10 + [(192, 64)] * 10
    piece = read_video(str(tmp_path / "joined.ts"), start_ms=360, start_frame=9, threads=threads)
    assert [(frame.index, frame.size) for frame in piece][:2] == [(9, (96, 64)), (10, (192, 64))]


@pytest.mark.parametrize("default", [0, 1, None])
def test_the_default_stream_is_taken_else_the_largest(tmp_path: Path, default: int | None) -> None:
    sizes = [(48, 32), (96, 64)]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        streams = []
        for number, (width, height) in enumerate(sizes):
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
            streams.append(stream)
        for picture in PICTURES[:5]:
            for stream, size in zip(streams, sizes, strict=True):
                frame = av.VideoFrame.from_ndarray(cv2.resize(picture, size).astype(np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    index, taken = index_video(str(tmp_path / "a.mkv")), 1 if default is None else default
    assert (index.width, index.height, len(index.times_ms)) == (*sizes[taken], 5)
    width, height = sizes[taken]
    assert index.warning == f"{tmp_path}/a.mkv: of its 2 video streams number {taken} ({width} x {height}) was taken"


def test_an_encrypted_video_is_refused_in_one_sentence(tmp_path: Path) -> None:
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 16, "encryption_kid": "11" * 16}
    path = write_clip(tmp_path / "a.mp4", PICTURES, container_options=key)
    for attempt in (lambda: index_video(str(path)), lambda: list(read_video(str(path)))):
        with pytest.raises(UnreadableMediaError, match=r"a\.mp4: is encrypted, and there is no key for it"):
            attempt()


def test_a_recording_that_begins_between_two_keyframes_says_so(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts", PICTURES, gop=10, bframes=0).read_bytes()
    with av.open(str(tmp_path / "a.ts")) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    # The tables at the beginning stay.
    (tmp_path / "b.ts").write_bytes(data[: 3 * 188] + data[positions[4] :])
    index = index_video(str(tmp_path / "b.ts"))
    assert index.warning == f"{tmp_path}/b.ts: begins between two keyframes: its first 0.24 s cannot be decoded"
    assert len(index.times_ms) == len(list(read_video(str(tmp_path / "b.ts")))) == 10


def test_a_file_that_grows_while_it_is_looked_into_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mkv", PICTURES)

    def growing(file: BufferedReader, check: Callable[[], None]) -> Scan:
        with path.open("ab") as end:
            end.write(bytes(100))
        return scan(file, check)

    monkeypatch.setattr("fer_model.sources.index.scan", growing)
    assert "was still being written while it was looked into" in (index_video(str(path)).warning or "")


def test_the_last_picture_ends_when_the_container_says(tmp_path: Path) -> None:
    times = [40 * n for n in range(19)] + [60_000]
    path = write_clip(tmp_path / "a.mp4", PICTURES, pts=times, bframes=0)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    last = packets[-1]
    end = 1000 * ((last.pts or 0) + (last.duration or 0)) * last.time_base
    assert index_video(str(path)).duration_ms == pytest.approx(float(end), abs=1)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *((suffix, "libx264") for suffix in ("ts", "m2ts", "mts", "flv")),
        *(("3gp", "mpeg4"), ("wmv", "wmv2"), ("mpg", "mpeg2video"), ("mpeg", "mpeg1video"), ("ogv", "libvpx")),
    ],
)
def test_other_containers_are_read(tmp_path: Path, suffix: str, codec: str) -> None:
    form = {"mts": "mpegts", "m2ts": "mpegts", "ogv": "ogg"}.get(suffix)
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for picture in PICTURES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    frames = list(read_video(str(path)))
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time_ms for frame in frames] == pytest.approx([40 * n for n in range(20)], abs=1)
    assert index_video(str(path)).duration_ms == pytest.approx(800, abs=2)
