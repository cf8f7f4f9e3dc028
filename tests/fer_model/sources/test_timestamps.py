"""Videos whose timestamps are wrong: no frame is lost, times never fall, any way of cutting gives the same frames."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_model.sources.clock import Timeline
from fer_model.sources.index import index_video
from fer_model.sources.sampling import Sampling
from fer_model.sources.segments import cut
from fer_model.sources.video import read_video
from fer_model.types import Frame
from tests.support.broken import restamped, with_steps
from tests.support.clips import noise_picture, panning_frames, write_clip

COUNT = 40
PICTURES = list(panning_frames(noise_picture(), COUNT))
EVEN = [40 * n for n in range(COUNT)]
HOUR = 3600 * 90_000


def ts(folder: Path, name: str = "a.ts", bframes: int = 2) -> Path:
    return write_clip(folder / name, PICTURES, bframes=bframes, gop=10)


def joined(folder: Path) -> Path:
    half = COUNT // 2
    parts = [
        write_clip(folder / f"{n}.ts", PICTURES[n * half : (n + 1) * half], bframes=2, gop=10).read_bytes()
        for n in range(2)
    ]
    (folder / "joined.ts").write_bytes(b"".join(parts))
    return folder / "joined.ts"


def stretched_mp4(folder: Path, steps: list[int]) -> Path:
    """With `steps` in ms; the file is made with other ones, all different, so that its table has a line for each."""
    times = [n * n for n in range(COUNT)]
    path = write_clip(folder / "a.mp4", PICTURES, pts=times, bframes=0)
    return with_steps(path, [16 * step for step in steps])


BROKEN: dict[str, tuple[Callable[[Path], Path], list[int] | None]] = {
    "two recordings joined": (joined, EVEN),
    "jump back": (lambda at: restamped(ts(at), lambda n, t: t if n < 20 else t - 20 * 3600 - HOUR // 60), EVEN),
    "jump ahead by an hour": (lambda at: restamped(ts(at), lambda n, t: t if n < 20 else t + HOUR), EVEN),
    "wrap of the clock": (lambda at: restamped(ts(at), lambda n, t: t + (1 << 33) - 60_000), EVEN),
    "one far too high": (lambda at: restamped(ts(at, bframes=0), lambda n, t: t + (HOUR << 3) * (n == 17)), EVEN),
    "one far too low": (lambda at: restamped(ts(at, bframes=0), lambda n, t: t - 5400 * (n == 17)), None),
    "some missing": (lambda at: restamped(ts(at, bframes=0), lambda n, t: None if n % 3 else t), EVEN),
    "each twice": (lambda at: restamped(ts(at, bframes=0), lambda n, t: t - 3600 * (n % 2)), None),
    "all the same": (lambda at: restamped(ts(at, bframes=0), lambda n, t: 90_000), None),
    "falling": (lambda at: restamped(ts(at, bframes=0), lambda n, t: 2 * HOUR - t), EVEN),
    "each twice (mp4)": (lambda at: stretched_mp4(at, [78, 0] * (COUNT // 2)), None),
    "standing still (mp4)": (lambda at: stretched_mp4(at, [40] * 20 + [0] * 20), None),
}


@pytest.fixture(scope="module", params=BROKEN)
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int] | None]:
    make, times = BROKEN[request.param]
    return make(tmp_path_factory.mktemp("broken")), times


def place(frame: Frame) -> tuple[int, int, bytes]:
    return frame.index, frame.time_ms, frame.image.tobytes()


def test_no_frame_is_lost_and_times_never_fall(broken: tuple[Path, list[int] | None]) -> None:
    path, expected = broken
    frames = list(read_video(str(path), threads=1))
    times = [frame.time_ms for frame in frames]
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert times == index_video(str(path)).times_ms.tolist()
    assert all(later >= earlier for earlier, later in pairwise(times))
    assert expected is None or times == expected
    assert times[-1] <= 2 * EVEN[-1]
    for frame, picture in zip(frames, PICTURES, strict=True):
        assert np.abs(frame.image.astype(int) - picture).mean() < 12


def test_the_index_says_how_long_it_is_and_nothing_else(broken: tuple[Path, list[int] | None]) -> None:
    path, expected = broken
    index = index_video(str(path))
    assert index.warning is None
    assert expected is None or index.duration_ms == pytest.approx(1600, abs=2)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shard_ms", [40, 100, 330])
def test_pieces_of_the_plan_are_the_whole(broken: tuple[Path, list[int] | None], shard_ms: int, threads: int) -> None:
    path, _ = broken
    whole = [place(frame) for frame in read_video(str(path), threads=threads)]
    together = [
        place(frame)
        for piece in cut(index_video(str(path)), Sampling(), shard_ms)
        for frame in read_video(
            str(path),
            start_ms=piece.start_ms,
            end_ms=piece.end_ms,
            start_frame=piece.start_frame,
            ordered=index_video(str(path)).ordered,
            threads=1,
        )
    ]
    assert together == whole


def test_a_pause_in_an_avi_with_bidirectional_pictures_is_kept(tmp_path: Path) -> None:
    pts = [time_ms + 2000 * (time_ms >= 800) for time_ms in EVEN]
    path = str(write_clip(tmp_path / "a.avi", PICTURES, codec="mpeg4", pts=pts, bframes=2, gop=10))
    times = index_video(path).times_ms.tolist()
    assert np.flatnonzero(np.array(times) != pts).size <= 2, "pictures that are stored on the other side of the pause"
    assert [frame.time_ms for frame in read_video(path)] == times


def test_videos_with_unreliable_times_are_cut_into_longer_pieces(tmp_path: Path) -> None:
    for path in (stretched_mp4(tmp_path, [78, 0] * (COUNT // 2)), joined(tmp_path)):
        index = index_video(str(path))
        assert not index.segmentable and not index.ordered and len(cut(index, Sampling(), 100)) == 4


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1, max_size=40))
def test_a_timeline_never_falls_whatever_the_stamps(stamps: list[int | None]) -> None:
    line = Timeline(3600, 900_000)
    times = [line.at(stamp) for stamp in stamps]
    assert times[0] == 0
    assert all(0 <= later - earlier <= 900_000 for earlier, later in pairwise(times))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 900_000), min_size=1, max_size=40), st.integers(-(2**40), 2**40))
def test_a_timeline_keeps_what_is_right(steps: list[int], start: int) -> None:
    stamps = np.cumsum([start, *steps]).tolist()
    line = Timeline(3600, 900_000)
    assert [line.at(stamp) for stamp in stamps] == [stamp - start for stamp in stamps]
