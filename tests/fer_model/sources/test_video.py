import gc
import hashlib
import tracemalloc
from collections.abc import Callable
from math import floor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_model.sources import open_source
from fer_model.sources.container import opened
from fer_model.sources.index import index_video
from fer_model.sources.opening import open_media
from fer_model.sources.sampling import Sampling, select
from fer_model.sources.segments import cut
from fer_model.sources.video import frames_from, read_video
from fer_model.types import Frame
from tests.support.clips import noise_picture, panning_frames, write_clip

PICTURES = list(panning_frames(noise_picture(), 60))

PAIRS = [
    *((suffix, codec) for suffix in ("mp4", "mov", "mkv") for codec in ("libx264", "libx265")),
    *((suffix, "libvpx-vp9") for suffix in ("webm", "mkv")),
    *((suffix, "mpeg4") for suffix in ("avi", "mp4")),
    ("webm", "libvpx"),
]


def place(frame: Frame) -> tuple[int, int, str]:
    return frame.index, frame.time_ms, hashlib.sha256(frame.image.tobytes()).hexdigest()


def assert_pieces_equal_whole(path: Path, sampling: Sampling, shard_ms: int) -> int:
    whole = [place(frame) for frame in read_video(str(path), sampling=sampling, threads=1)]
    segments = cut(index_video(str(path)), sampling, shard_ms)
    together = []
    for segment in segments:
        piece = open_source(
            str(path),
            kind="video",
            start_ms=segment.start_ms,
            end_ms=segment.end_ms,
            start_frame=segment.start_frame,
            sampling=sampling,
            threads=1,
        )
        here = [place(frame) for frame in piece]
        assert len(here) == segment.frames
        together += here
    assert together == whole
    return len(segments)


def assert_index_is_true(path: Path) -> list[int]:
    """The index equals what a plain decode from the beginning yields."""
    index = index_video(str(path))
    times: list[int] = index.times_ms.tolist()
    assert [(frame.index, frame.time_ms) for frame in read_video(str(path), threads=1)] == list(enumerate(times))
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(times)
    return times


@pytest.mark.parametrize(("suffix", "codec"), PAIRS)
def test_every_container_and_codec(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec=codec, gop=20)
    assert assert_index_is_true(path) == [n * 40 for n in range(60)]
    index = index_video(str(path))
    assert (index.width, index.height, index.fps, index.duration_ms) == (96, 64, 25.0, 2400)
    assert index.segmentable
    assert index.warning is None
    assert assert_pieces_equal_whole(path, Sampling(), 500) == 5
    first = next(read_video(str(path))).image
    assert np.abs(first.astype(int) - PICTURES[0]).mean() < 12


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
@pytest.mark.parametrize("gop", [7, 250])
def test_pieces_with_bidirectional_frames(tmp_path: Path, suffix: str, codec: str, gop: int) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec=codec, gop=gop, bframes=3)
    assert_index_is_true(path)
    for sampling in (Sampling(), Sampling(every=7), Sampling(fps=11)):
        assert assert_pieces_equal_whole(path, sampling, 330) > 3


def test_pieces_across_open_groups(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv"):
        path = write_clip(tmp_path / f"a.{suffix}", PICTURES, options=OPEN)
        assert assert_pieces_equal_whole(path, Sampling(), 40) == 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", PICTURES, bframes=2, gop=250)


@settings(max_examples=10, deadline=None)
@given(shard_ms=st.integers(30, 3000), every=st.integers(1, 9))
def test_pieces_of_any_length(clip: Path, shard_ms: int, every: int) -> None:
    assert_pieces_equal_whole(clip, Sampling(every=every), shard_ms)


def altered(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


OPEN = {"preset": "fast", "x264-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"}
OPEN_HEVC = {"x265-params": "open-gop=1:bframes=4:b-pyramid=1:keyint=12:min-keyint=12:scenecut=0:log-level=none"}
LAYERS = {"preset": "fast", "x265-params": "temporal-layers=3:bframes=7:b-pyramid=1:log-level=error"}
CUES, KEY, NO_KEY = b"\x1c\x53\xbb\x6b", b"00dc\x10\0\0\0", b"00dc\0\0\0\0"
CLIPS: dict[str, Callable[[Path], Path]] = {
    "H.264 in one group": lambda at: write_clip(at / "a.mp4", PICTURES, bframes=3, gop=250),
    "HEVC": lambda at: write_clip(at / "a.mp4", PICTURES, codec="libx265", bframes=3, gop=20),
    "HEVC in layers": lambda at: write_clip(at / "a.mp4", PICTURES, codec="libx265", gop=20, options=LAYERS),
    "H.264 in open groups": lambda at: write_clip(at / "a.mp4", PICTURES, options=OPEN),
    "HEVC in open groups": lambda at: write_clip(at / "a.mkv", PICTURES, codec="libx265", options=OPEN_HEVC),
    "MPEG-2": lambda at: write_clip(at / "a.mkv", PICTURES, codec="mpeg2video", bframes=2, gop=9),
    "JPEG": lambda at: write_clip(at / "a.mkv", PICTURES, codec="mjpeg", options={"strict": "unofficial"}),
    "AV1": lambda at: write_clip(at / "a.mp4", PICTURES, codec="libsvtav1", gop=15, options={"preset": "12"}),
    "VP9": lambda at: write_clip(at / "a.webm", PICTURES, codec="libvpx-vp9", gop=20),
    "MPEG-4": lambda at: write_clip(at / "a.avi", PICTURES, codec="mpeg4", gop=12),
    "variable rate": lambda at: write_clip(at / "a.mkv", PICTURES, pts=[n * n for n in range(60)], bframes=2),
    "begins late": lambda at: write_clip(at / "a.mov", PICTURES, start=5000, bframes=2, gop=20),
    "edit list": lambda at: write_clip(at / "a.mp4", PICTURES, start=-200, bframes=2),
    "no index (mkv)": lambda at: write_clip(at / "a.mkv", PICTURES, gop=20, container_options={"live": "1"}),
    "lost index (mkv)": lambda at: altered(write_clip(at / "a.mkv", PICTURES, gop=20), CUES, CUES[:3] + b"\x6a"),
    "lost index (avi)": lambda at: altered(write_clip(at / "a.avi", PICTURES, codec="mpeg4", gop=12), b"idx1", b"JUNK"),
    "index that calls every frame a keyframe (avi)": lambda at: altered(
        write_clip(at / "a.avi", PICTURES, codec="mpeg4", gop=12), NO_KEY, KEY
    ),
    "index that calls every frame a keyframe (mp4)": lambda at: altered(
        write_clip(at / "a.mp4", PICTURES, gop=20), b"stss", b"free"
    ),
}
"""One of each kind that is hard to cut."""


@pytest.fixture(scope="module", params=CLIPS)
def hard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(CLIPS[request.param](tmp_path_factory.mktemp("hard")))


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_way_of_cutting_gives_the_same_frames(hard: str, data: st.DataObject) -> None:
    times = index_video(hard).times_ms.tolist()
    # No cut between frames of the same millisecond.
    possible = [n for n in range(1, len(times)) if times[n] != times[n - 1]]
    cuts = [0, *sorted(data.draw(st.sets(st.sampled_from(possible), max_size=6)))]
    ends = [*(times[n] for n in cuts[1:]), None]
    pieces = [
        place(frame)
        for first, end_ms in zip(cuts, ends, strict=True)
        for frame in read_video(hard, start_ms=times[first], end_ms=end_ms, start_frame=first, threads=1)
    ]
    assert pieces == [place(frame) for frame in read_video(hard, threads=1)]
    assert len(pieces) == len(times)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
@pytest.mark.parametrize("fps", [1.0, 3.0])
def test_a_sample_has_the_pictures_of_the_whole_and_decodes_fewer(tmp_path: Path, codec: str, fps: float) -> None:
    path = str(write_clip(tmp_path / "a.mp4", PICTURES, codec=codec, gop=30, bframes=3))
    whole = [place(frame) for frame in read_video(path, threads=1)]
    expected = list(select(Sampling(fps=fps), whole))
    assert [place(frame) for frame in read_video(path, sampling=Sampling(fps=fps), threads=2)] == expected
    with open_media(path) as file, opened(file, 1) as (container, stream):
        decoded = list(frames_from(container, stream, sampling=Sampling(fps=fps)))
    assert {frame.place for frame in decoded} >= {index for index, *_ in expected}
    assert len(decoded) < 0.7 * len(whole), "most of the bidirectional pictures"


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libx264", "mp4"), ("libx265", "mkv"), ("libvpx-vp9", "webm"), ("libsvtav1", "mp4"), ("mpeg4", "avi")],
)
def test_what_lies_behind_the_last_wanted_picture_of_a_group_is_not_decoded(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    options = {"preset": "12"} if codec == "libsvtav1" else None
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec=codec, gop=5, options=options)
    for start_ms, expected in ((0, [0, 25, 50]), (600, [0, 10, 35])):
        with open_media(str(path)) as file, opened(file, 1) as (container, stream):
            frames = list(frames_from(container, stream, start_ms, sampling=Sampling(fps=1)))
        assert {frame.place for frame in frames} >= set(expected)
        assert len(frames) <= 5, "three keyframes; at most two pictures more, if the piece begins within a group"


@pytest.mark.parametrize("first", [19, 25, 38, 45])
@pytest.mark.parametrize("most_bytes", [2**26, 4000])
def test_a_damaged_picture_is_replaced_as_if_all_were_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, most_bytes: int
) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES, gop=10, bframes=2)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for packet in packets[first : first + 2]:
        assert packet.pos is not None
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)

    def samples() -> list[list[tuple[int, int, str]]]:
        return [
            [place(frame) for frame in read_video(str(path), start_ms=start_ms, sampling=Sampling(fps=fps), threads=1)]
            for fps in (1, 1.3, 2.5)
            for start_ms in (0, 600)
        ]

    monkeypatch.setattr("fer_model.sources.skipping.MOST_BYTES", most_bytes)
    with_jumps = samples()
    monkeypatch.setattr("fer_model.sources.video._ATTEMPTS", 0)
    assert with_jumps == samples()


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_in_temporal_layers_no_picture_before_a_wanted_one_is_left_out(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec="libx265", gop=250, options=LAYERS)
    with open_media(str(path)) as file, opened(file, 1) as (container, stream):
        places = {frame.place for frame in frames_from(container, stream, sampling=Sampling(fps=1))}
    assert places >= set(range(45)), "the last wanted one is number 50"


@settings(max_examples=10, deadline=None)
@given(fps=st.floats(0.3, 40), data=st.data())
def test_a_sample_from_anywhere_has_the_pictures_of_the_whole(hard: str, fps: float, data: st.DataObject) -> None:
    """The piece may begin in the middle of a period, at a picture that no other is predicted from."""
    times = index_video(hard).times_ms.tolist()
    first = data.draw(st.sampled_from([n for n in range(len(times)) if n == 0 or times[n] != times[n - 1]]))
    part = {"start_ms": times[first], "start_frame": first, "threads": 1}
    whole = [place(frame) for frame in read_video(hard, **part)]
    sample = [place(frame) for frame in read_video(hard, sampling=Sampling(fps=fps), **part)]
    assert sample == list(select(Sampling(fps=fps), whole))


@settings(max_examples=5, deadline=None)
@given(fps=st.floats(0.3, 30), shard_ms=st.integers(400, 2000))
def test_the_nearest_frames_do_not_depend_on_the_cuts(hard: str, fps: float, shard_ms: int) -> None:
    sampling, pictures = Sampling(fps=fps, nearest=True), {place(frame) for frame in read_video(hard, threads=1)}
    assert_pieces_equal_whole(Path(hard), sampling, shard_ms)
    sample = [place(frame) for frame in read_video(hard, sampling=sampling, threads=1)]
    assert set(sample) <= pictures
    intervals = [[floor((time_ms + 0.5) * fps / 1000 + 0.5) for _, time_ms, _ in each] for each in (sample, pictures)]
    assert intervals[0] == sorted(set(intervals[1]))


def test_the_nearest_frames_are_keyframes_where_there_are_some(tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "a.mp4", PICTURES, gop=10, bframes=2))
    nearest = [frame.time_ms for frame in read_video(path, sampling=Sampling(fps=1.1, nearest=True))]
    assert nearest == [0, 800, 2000, 2360], "the keyframes are 400 ms apart; there is none in the last interval"
    with open_media(path) as file, opened(file, 1) as (container, stream):
        chosen = set(nearest[:3])
        frames = list(frames_from(container, stream, keeps=lambda time_ms: time_ms in chosen))
    assert [frame.time_ms for frame in frames] == nearest[:3], "nothing else is decoded"


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_with_reordered_frames_is_read_from_the_beginning_for_each_piece(tmp_path: Path, codec: str) -> None:
    path = write_clip(tmp_path / "a.avi", PICTURES, codec=codec, bframes=2)
    assert assert_index_is_true(path) == [n * 40 for n in range(60)]
    assert not index_video(str(path)).segmentable
    assert assert_pieces_equal_whole(path, Sampling(every=2), 200) == 3


def test_a_transport_stream_named_mp4_is_read_from_the_beginning_for_each_piece(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", PICTURES, bframes=2, gop=10).rename(tmp_path / "a.mp4")
    assert assert_index_is_true(path) == [n * 40 for n in range(60)]
    assert not index_video(str(path)).segmentable
    assert assert_pieces_equal_whole(path, Sampling(), 200) == 3


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_variable_frame_rate(tmp_path: Path, suffix: str) -> None:
    times = [n * n for n in range(60)]
    codec = "libvpx-vp9" if suffix == "webm" else "libx264"
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec=codec, pts=times)
    assert assert_index_is_true(path) == times
    assert index_video(str(path)).fps == pytest.approx(60 / 3.541, abs=0.1)
    assert assert_pieces_equal_whole(path, Sampling(fps=20), 700) > 2


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_times_count_from_the_first_picture(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, start=5000, bframes=2, gop=20)
    assert assert_index_is_true(path)[:3] == [0, 40, 80]
    assert assert_pieces_equal_whole(path, Sampling(), 500) == 5


def test_frames_cut_away_by_an_edit_list(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES, start=-200, bframes=2)
    assert assert_index_is_true(path) == [n * 40 for n in range(55)]
    assert assert_pieces_equal_whole(path, Sampling(), 500) == 4


@pytest.mark.parametrize(
    ("rotation", "turned"),
    [(90, lambda p: np.rot90(p, 1)), (180, lambda p: np.rot90(p, 2)), (270, lambda p: np.rot90(p, 3))],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_rotation(tmp_path: Path, suffix: str, rotation: int, turned: Callable[[Any], Any]) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES[:5], rotation=rotation)
    expected = turned(PICTURES[0])
    index = index_video(str(path))
    assert (index.height, index.width) == expected.shape[:2]
    for frame in read_video(str(path)):
        assert frame.image.shape == expected.shape
        assert frame.image.flags.c_contiguous
        if frame.index == 0:
            assert np.abs(frame.image.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("vertically", [False, True])
def test_mirrored_video(tmp_path: Path, vertically: bool) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(0, hflip=not vertically, vflip=vertically)
        for picture in PICTURES[:3]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    for frame, picture in zip(read_video(str(tmp_path / "a.mp4")), PICTURES[:3], strict=True):
        expected = picture[::-1] if vertically else picture[:, ::-1]
        assert np.abs(frame.image.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("colour_range", [1, 2])
@pytest.mark.parametrize("space", [1, 5])
def test_colours(tmp_path: Path, space: int, colour_range: int) -> None:
    colour = np.full((64, 96, 3), (200, 60, 30), np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.color_range, stream.codec_context.colorspace = colour_range, space
        picture = av.VideoFrame.from_ndarray(colour, format="rgb24")
        container.mux(
            stream.encode(picture.reformat(format="yuv420p", dst_colorspace=space, dst_color_range=colour_range))
        )
        container.mux(stream.encode())
    (frame,) = read_video(str(tmp_path / "a.mp4"))
    assert np.abs(frame.image.astype(int) - colour).max() < 6


def test_several_threads_decode_the_same(clip: Path) -> None:
    one, three = ([place(f) for f in read_video(str(clip), start_ms=400, threads=n)] for n in (1, 3))
    assert one == three


def test_start_frame_and_end_are_half_open(clip: Path) -> None:
    frames = list(read_video(str(clip), start_ms=400, end_ms=480, start_frame=10))
    assert [(frame.index, frame.time_ms) for frame in frames] == [(10, 400), (11, 440)]


def test_whoever_watches_can_end_a_long_search_for_a_frame(tmp_path: Path) -> None:
    """All of the file lies between its only keyframe and the frame that is wanted."""
    path = write_clip(tmp_path / "a.mp4", PICTURES, gop=250)
    seen: list[int] = []

    def watch() -> None:
        seen.append(len(seen))
        if len(seen) == 20:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        next(open_source(str(path), kind="video", start_ms=2000, start_frame=50, threads=1, on_packet=watch))
    assert len(seen) == 20
    assert [each.index for each in read_video(str(path), start_ms=2300, start_frame=58, on_packet=seen.clear)] == [
        58,
        59,
    ]


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = write_clip(tmp_path / f"{count}.mp4", panning_frames(noise_picture(), count))
        tracemalloc.start()
        assert sum(1 for _ in read_video(str(path), threads=1)) == count
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(1000) < peak(100) + 200_000


def test_pictures_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    """Their memory is FFmpeg's: neither `tracemalloc` nor the collector's thresholds know how much it is."""
    path = write_clip(tmp_path / "a.mp4", PICTURES, rotation=90)

    def held() -> int:
        return sum(type(each) is av.VideoFrame for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = held()
        assert sum(1 for _ in read_video(str(path))) == len(PICTURES)
        assert held() <= before + 2
    finally:
        gc.enable()


def test_the_file_is_closed_when_the_reader_stops(clip: Path) -> None:
    def open_files() -> list[str]:
        return [link.name for link in Path("/proc/self/fd").iterdir() if str(link.resolve()) == str(clip)]

    frames = open_source(str(clip), kind="video")
    next(frames)
    assert open_files()
    frames.close()  # type: ignore[attr-defined]
    assert not open_files()
