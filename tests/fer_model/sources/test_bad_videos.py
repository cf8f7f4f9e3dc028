import random
from pathlib import Path

import av
import numpy as np
import pytest

from fer_model.errors import UnreadableMediaError
from fer_model.sources.index import index_video
from fer_model.sources.sampling import Sampling
from fer_model.sources.segments import cut
from fer_model.sources.video import read_video
from tests.support.clips import noise_picture, panning_frames, write_clip

PICTURES = list(panning_frames(noise_picture(), 75))


def complaint(path: Path) -> str:
    sentences = []
    for attempt in (lambda: index_video(str(path)), lambda: list(read_video(str(path)))):
        with pytest.raises(UnreadableMediaError) as caught:
            attempt()
        start, _, sentence = str(caught.value).partition(": ")
        assert start == str(path)
        sentences.append(sentence)
    assert sentences[0] == sentences[1]
    return sentences[0]


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "folder.mp4").mkdir()
    assert complaint(tmp_path / "empty.mp4") == "the file is empty"
    assert complaint(tmp_path / "text.mp4") == "is not a video (unknown format)"
    assert complaint(tmp_path / "missing.mp4") == "does not exist"
    assert complaint(tmp_path / "folder.mp4") == "is a folder"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{uri}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {uri}\n",
        "<?xml version='1.0'?><MPD type='static'><Period><AdaptationSet><Representation id='1' bandwidth='1'>"
        "<BaseURL>{uri}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "<asx version='3.0'><entry><ref href='{uri}'/></entry></asx>",
    ],
)
def test_a_playlist_opens_nothing_else(tmp_path: Path, suffix: str, content: str) -> None:
    secret = write_clip(tmp_path / "secret.mp4", PICTURES[:5])
    for uri in (str(secret), "secret.mp4", f"file://{secret}"):
        (tmp_path / f"a.{suffix}").write_text(content.format(uri=uri))
        assert complaint(tmp_path / f"a.{suffix}") in (
            "is not a video (unknown format)",
            "is of a format that is not read",
        )


def test_mp4_without_its_index(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES)
    path.write_bytes(path.read_bytes()[:-2000])
    assert complaint(path) == "is truncated: the index at its end (moov) is missing"


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mpeg4")]
)
def test_the_readable_part_of_a_truncated_file_is_used(tmp_path: Path, suffix: str, codec: str) -> None:
    options = {"movflags": "faststart"} if suffix == "mp4" else None
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec=codec, container_options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    index = index_video(str(path))
    assert 10 < len(index.times_ms) < 75
    assert [frame.time_ms for frame in read_video(str(path))] == index.times_ms.tolist()
    if suffix != "avi":  # which declares no length that would survive the cut
        assert index.warning is not None
        assert index.warning.startswith(f"{path}: ends after {index.duration_ms / 1000:.1f} s of 3.0 s")
        assert index.warning.endswith("the file is truncated")


def test_sound_only(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    assert complaint(tmp_path / "a.mp4") == "has no video stream"


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        film = container.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
        container.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        container.mux(cover.encode())
        for picture in PICTURES[:10]:
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(film.encode())
    index = index_video(str(path))
    assert (index.width, index.height, len(index.times_ms)) == (96, 64, 10)
    assert len(list(read_video(str(path)))) == 10


def test_unknown_codec(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES[:5])
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    assert complaint(path) == "its video codec is not known"


def spoil(path: Path, numbers: range, keep: int = 0) -> None:
    """Overwrite the packets of these numbers with noise, but for the first `keep` bytes."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]
    content = bytearray(path.read_bytes())
    noise = random.Random(0)
    for number in numbers:
        begin, size = packets[number]
        assert begin is not None
        content[begin + keep : begin + size] = noise.randbytes(max(0, size - keep))
    path.write_bytes(content)


# Matroska's own header of a block stays whole: without it the demuxer rightly gives up the whole cluster.
@pytest.mark.parametrize(("suffix", "keep"), [("mp4", 0), ("mp4", 16), ("mkv", 16)])
def test_damaged_packets_are_passed_over(tmp_path: Path, suffix: str, keep: int) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, gop=25, bframes=2)
    spoil(path, range(30, 40), keep)
    times = index_video(str(path)).times_ms.tolist()
    frames = [(frame.index, frame.time_ms) for frame in read_video(str(path))]
    assert len(times) == 75
    assert 60 <= len(frames) < 75 + bool(keep)
    assert all(times[index] == time_ms for index, time_ms in frames)  # what follows keeps its place
    assert frames[-1][0] == 74
    together = []
    for piece in cut(index_video(str(path)), Sampling(), 1000):
        together += [
            (frame.index, frame.time_ms)
            for frame in read_video(
                str(path), start_ms=piece.start_ms, end_ms=piece.end_ms, start_frame=piece.start_frame
            )
        ]
    assert together == frames


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", [0, 20, 26])
def test_a_damaged_packet_of_vp9_costs_its_group_alone(tmp_path: Path, number: int, threads: int) -> None:
    path = write_clip(tmp_path / "a.webm", PICTURES, codec="libvpx-vp9", gop=20)
    spoil(path, range(number, number + 1), 16)
    first = number // 20 * 20
    whole = [frame.index for frame in read_video(str(path), threads=threads)]
    assert set(range(first - threads)) | set(range(first + 20, 75)) <= set(whole)
    sample = {frame.index for frame in read_video(str(path), threads=threads, sampling=Sampling(fps=2.5))}
    assert {0, 10, 20, 30, 40, 50, 60, 70} - set(range(first, first + 20)) <= sample


def test_nothing_can_be_decoded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES[:20])
    spoil(path, range(20))
    assert complaint(path) == "no picture in it can be decoded"


def test_a_file_that_breaks_off_before_the_first_picture(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES[:20], container_options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 4])
    assert complaint(path) == "no picture in it can be decoded"


def test_a_piece_beyond_the_end(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES[:20])
    with pytest.raises(UnreadableMediaError, match=r"a\.mp4: no picture after 60\.0 s can be decoded"):
        next(read_video(str(path), start_ms=60_000))


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4")])
def test_flipped_bytes_never_break_the_reader(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES[:30], codec=codec, gop=10)
    content = path.read_bytes()
    for seed in range(8):
        noise, damaged = random.Random(seed), bytearray(content)
        for _ in range(noise.choice((1, 5, 50))):
            damaged[noise.randrange(len(damaged))] = noise.randrange(256)
        path.write_bytes(damaged)
        try:
            count = len(index_video(str(path)).times_ms)
            indices = [frame.index for frame in read_video(str(path), threads=1)]
        except UnreadableMediaError as error:
            assert str(error).startswith(f"{path}: ")
            continue
        assert indices == sorted(set(indices))
        assert indices[-1] < count


@pytest.mark.parametrize("first", [27, 30, 33])
def test_a_zeroed_sector_costs_its_pictures_and_yields_none_twice(tmp_path: Path, first: int) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES, gop=25, bframes=3, options={"preset": "medium"})
    with av.open(str(path)) as container:
        begin = [packet.pos for packet in container.demux(video=0) if packet.size][first]
    content = bytearray(path.read_bytes())
    assert begin is not None
    content[begin : begin + 1500] = bytes(1500)
    path.write_bytes(content)
    whole = [frame.index for frame in read_video(str(path))]
    pieces = [
        frame.index
        for piece in cut(index_video(str(path)), Sampling(), 500)
        for frame in read_video(str(path), start_ms=piece.start_ms, end_ms=piece.end_ms, start_frame=piece.start_frame)
    ]
    assert pieces == sorted(set(pieces)) and whole == sorted(set(whole))
    assert set(range(25)) | set(range(50, 75)) <= set(whole) & set(pieces)


def test_fragmented_files_with_flipped_bytes_fail_with_a_sentence(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = write_clip(tmp_path / "a.mp4", PICTURES[:10], gop=5, container_options=options)
    content, noise = path.read_bytes(), random.Random(1)
    for _ in range(60):
        damaged = bytearray(content)
        at = damaged.index(b"moof") + noise.randrange(150)
        damaged[at : at + 4] = noise.randbytes(4)
        path.write_bytes(damaged)
        try:
            index_video(str(path))
        except UnreadableMediaError as error:
            assert str(error).startswith(f"{path}: ")
