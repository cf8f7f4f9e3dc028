import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_model.sources import open_source
from fer_model.sources.index import index_video
from fer_model.sources.sampling import Sampling
from fer_model.sources.video import read_video
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.pieces import OPEN, PICTURES, assert_pieces_equal_whole, place

PAIRS = [
    *((suffix, codec) for suffix in ("mp4", "mov", "mkv") for codec in ("libx264", "libx265")),
    *((suffix, "libvpx-vp9") for suffix in ("webm", "mkv")),
    *((suffix, "mpeg4") for suffix in ("avi", "mp4")),
    ("webm", "libvpx"),
]


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


def test_a_watcher_can_end_a_long_search_for_a_frame(tmp_path: Path) -> None:
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
