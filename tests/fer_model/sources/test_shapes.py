"""Sample aspect ratios, several streams, encryption, lengths: a video as a player shows it."""

import random
import struct
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
from tests.support.broken import PACKET, VIDEO_PID, mpeg_crc, packets
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


def woven(path: Path, pictures: list[Image]) -> Path:
    """An interlaced video: the lines of each picture are in turn of two moments."""
    with av.open(str(path), "w") as container:
        options = {"flags": "+ildct+ilme", "top": "1", "b": "4000000"}
        stream = container.add_stream("mpeg2video", rate=25, options=options)
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for first, second in zip(pictures[::2], pictures[1::2], strict=True):
            both = first.copy()
            both[1::2] = second[1::2]
            frame = av.VideoFrame.from_ndarray(both, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_of_interlaced_video_each_picture_shows_one_moment(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(noise_picture(), (0, 0), 4).mean(axis=2, keepdims=True).repeat(3, axis=2)
    grey = ((smooth - smooth.min()) * 255 / np.ptp(smooth)).astype(np.uint8)
    # Twelve pixels from one moment to the next.
    pictures = list(panning_frames(grey, 192, (96, 64)))[::12]
    found = list(read_video(str(woven(tmp_path / "a.mpg", pictures))))
    assert len(found) == 8 and {frame.image.shape for frame in found} == {(64, 96, 3)}
    for frame, shown, other in zip(found, pictures[::2], pictures[1::2], strict=True):
        error, to_other = (np.abs(frame.image.astype(int) - each).mean() for each in (shown, other))
        assert error < 8 and to_other > 2 * error


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


def noisy(data: bytes, keep: int) -> bytearray:
    """A transport stream whose video is noise but for the first `keep` bytes of each picture."""
    content, noise = bytearray(data), random.Random(0)
    for packet, pid, body in packets(content):
        if pid & 0x1FFF == VIDEO_PID:
            begin = body + (keep if pid & 0x4000 else 0)
            content[begin : packet + PACKET] = noise.randbytes(max(0, packet + PACKET - begin))
    return content


def scrambled(data: bytes) -> bytearray:
    content = noisy(data, 0)
    for packet, pid, _ in packets(content):
        if pid & 0x1FFF == VIDEO_PID:
            content[packet + 3] |= 0xC0
    return content


def scrambled_below_the_packets(data: bytes) -> bytearray:
    content = noisy(data, 60)
    for _, pid, body in packets(content):
        if pid == VIDEO_PID | 0x4000:
            content[body + 6] |= 0x30
    return content


def sample_aes(data: bytes) -> bytearray:
    """The headers of pictures are clear: a decoder would give noise."""
    content = noisy(data, 60)
    for packet, pid, body in packets(bytearray(content)):
        if pid & 0x1FFF == 0x1000:
            begin = body + 1
            end = begin + 3 + (int.from_bytes(content[begin + 1 : begin + 3], "big") & 0xFFF)
            content[begin + 12 + (int.from_bytes(content[begin + 10 : begin + 12], "big") & 0xFFF)] = 0xDB
            content[end - 4 : end] = mpeg_crc(bytes(content[begin : end - 4])).to_bytes(4, "big")
            assert end < packet + PACKET
    return content


def timed(data: bytes) -> bytearray:
    """As cameras write it: four bytes before each packet."""
    whole = scrambled(data)
    return bytearray(b"".join(bytes(4) + whole[at : at + PACKET] for at in range(0, len(whole), PACKET)))


@pytest.mark.parametrize("change", [scrambled, scrambled_below_the_packets, sample_aes, timed])
def test_an_encrypted_transport_stream_is_refused_in_one_sentence(
    tmp_path: Path, change: Callable[[bytes], bytearray]
) -> None:
    path = write_clip(tmp_path / "a.ts", PICTURES)
    path.write_bytes(change(path.read_bytes()))
    for attempt in (lambda: index_video(str(path)), lambda: list(read_video(str(path)))):
        with pytest.raises(UnreadableMediaError, match=r"a\.ts: is encrypted, and there is no key for it"):
            attempt()


def test_bytes_within_a_picture_that_look_like_an_encrypted_program_are_none(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", PICTURES)
    content = bytearray(path.read_bytes())
    body = next(body for _, pid, body in packets(content) if pid == VIDEO_PID)
    # A table of programs (type 2) that names one stream of SAMPLE-AES (type 0xDB).
    table = bytes([0, 2, 0xB0, 18, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0, 0xDB, 0xE1, 0, 0xF0, 0])
    content[body : body + len(table)] = table
    path.write_bytes(content)
    assert len(index_video(str(path)).times_ms) == len(PICTURES)


def test_a_transport_stream_of_which_a_little_is_scrambled_is_read(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", PICTURES, gop=5)
    data = path.read_bytes()
    path.write_bytes(
        data[: len(data) * 9 // 10 // PACKET * PACKET] + scrambled(data)[len(data) * 9 // 10 // PACKET * PACKET :]
    )
    assert len(list(read_video(str(path)))) > 10


def test_protected_windows_media_are_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.wmv", PICTURES, codec="wmv2")
    data = path.read_bytes()
    size, count = struct.unpack("<QI", data[16:28])
    protection = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e") + struct.pack("<QI", 28, 0)
    path.write_bytes(data[:16] + struct.pack("<QI", size + 28, count + 1) + data[28:size] + protection + data[size:])
    with pytest.raises(UnreadableMediaError, match="is encrypted"):
        index_video(str(path))


@pytest.mark.parametrize("options", [{}, {"movflags": "frag_keyframe+empty_moov"}, {"movflags": "faststart"}])
def test_an_mp4_joined_from_two_says_that_only_the_first_is_read(tmp_path: Path, options: dict[str, str]) -> None:
    parts = [write_clip(tmp_path / f"{n}.mp4", PICTURES[n::2], container_options=options) for n in range(2)]
    (tmp_path / "joined.mp4").write_bytes(b"".join(part.read_bytes() for part in parts))
    index = index_video(str(tmp_path / "joined.mp4"))
    assert "holds 2 recordings, one after the other, of which only the first can be read" in (index.warning or "")
    assert len(index.times_ms) == len(list(read_video(str(tmp_path / "joined.mp4")))) == 10


def test_an_mp4_whose_fragments_repeat_the_index_is_read_to_its_end(tmp_path: Path) -> None:
    """As players store a stream: each piece begins with the same boxes."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    data = write_clip(tmp_path / "a.mp4", PICTURES, gop=10, container_options=options).read_bytes()
    first = data.index(b"moof") - 4
    second = data.index(b"moof", first + 8) - 4
    (tmp_path / "a.mp4").write_bytes(data[:second] + data[:first] + data[second:])
    index = index_video(str(tmp_path / "a.mp4"))
    assert index.warning is None and len(index.times_ms) == 20
    assert len(list(read_video(str(tmp_path / "a.mp4")))) == 20


@pytest.mark.parametrize("size", [(320, 180), (640, 360)])
def test_an_flv_joined_from_two_says_that_a_part_is_not_read(tmp_path: Path, size: tuple[int, int]) -> None:
    pictures = [cv2.resize(picture, size).astype(np.uint8) for picture in PICTURES]
    parts = [write_clip(tmp_path / f"{n}.flv", pictures[n::2]).read_bytes() for n in range(2)]
    (tmp_path / "joined.flv").write_bytes(b"".join(parts))
    warning = index_video(str(tmp_path / "joined.flv")).warning or ""
    assert f"of its {sum(map(len, parts)):,} bytes; the rest is damaged, or another recording" in warning


def test_an_ogg_whose_last_page_is_long_has_no_note(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (64, 96, 3), np.uint8) for _ in range(20)]
    path = write_clip(tmp_path / "a.ogv", noise, codec="libvpx", options={"b": "800k"})
    assert index_video(str(path)).warning is None, "all packets of a page have its position"


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
