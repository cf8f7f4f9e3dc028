from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_model.sources.index import VideoIndex
from fer_model.sources.sampling import KEYFRAME, OTHER, REFERENCE, Sampling, nearest, ranker, select
from fer_model.sources.segments import Segment, cut


def index_of(times_ms: list[int], *, segmentable: bool = True) -> VideoIndex:
    duration = times_ms[-1] + 40
    return VideoIndex(96, 64, 25.0, duration, np.array(times_ms, np.int64), segmentable)


def picked(sampling: Sampling, times: list[int], start: int = 0) -> list[int]:
    return [index for index, _ in select(sampling, list(enumerate(times))[start:])]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"every": 0}, "every must be a whole number from 1 on, not 0"),
        ({"every": 1.5}, "every must be a whole number from 1 on, not 1.5"),
        ({"fps": 0}, "fps must be a number above 0, not 0"),
        ({"fps": inf}, "fps must be a number above 0, not inf"),
        ({"nearest": True}, "nearest needs fps"),
        ({"every": 2, "fps": 5}, "every and fps exclude each other: give one of them"),
    ],
)
def test_wrong_samplings_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Sampling(**wrong)


def test_every_and_fps() -> None:
    times = [n * 40 for n in range(11)]
    assert picked(Sampling(), times) == list(range(11))
    assert picked(Sampling(every=4), times) == [0, 4, 8]
    assert picked(Sampling(fps=5), times) == [0, 5, 10]
    assert picked(Sampling(fps=10), times) == [0, 3, 5, 8, 10]
    assert picked(Sampling(fps=0.1), times) == [0]


def test_nearest_takes_keyframes_then_references_then_any() -> None:
    key, reference, other = KEYFRAME, REFERENCE, OTHER
    pictures = [(0, key), (400, other), (700, key), (960, reference), (1400, key), (1600, other), (2100, reference)]
    assert list(nearest(1, [*pictures, (2200, other), (2600, other), (2900, other)])) == [0, 700, 2100, 2900]
    assert list(nearest(1, [(0, key), (700, key), (1300, key)])) == [0, 700], "of two as near the earlier"


def test_a_picture_that_is_shown_before_one_decoded_earlier_is_no_reference() -> None:
    rank = ranker()
    order = [(0, True), (3, False), (1, False), (2, False), (6, True), (5, False), (9, False)]
    expected = [KEYFRAME, REFERENCE, OTHER, OTHER, KEYFRAME, OTHER, REFERENCE]
    assert [rank(stamp, key) for stamp, key in order] == expected


@pytest.mark.parametrize("rate", [23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 120, 240])
def test_fps_of_the_video_itself_keeps_every_frame(rate: float) -> None:
    times = [int(n * 1000 / rate + 0.5) for n in range(2000)]
    assert picked(Sampling(fps=rate), times) == list(range(2000))


def test_cut_by_hand() -> None:
    index = index_of([n * 40 for n in range(100)])
    assert cut(index, Sampling(), 1000) == [
        Segment(0, 1000, 0, 25),
        Segment(1000, 2000, 25, 25),
        Segment(2000, 3000, 50, 25),
        Segment(3000, None, 75, 25),
    ]
    assert cut(index, Sampling(every=10), 1700) == [Segment(0, 2000, 0, 5), Segment(2000, None, 50, 5)]
    assert cut(index, Sampling(), 2500) == [Segment(0, 2520, 0, 63), Segment(2520, None, 63, 37)]
    assert cut(index, Sampling(), 3000) == [Segment(0, None, 0, 100)]
    assert cut(index, Sampling(), 60_000) == [Segment(0, None, 0, 100)]


def test_what_is_decoded_from_the_beginning_each_time_has_longer_pieces() -> None:
    index = index_of([n * 40 for n in range(100)], segmentable=False)
    assert cut(index, Sampling(every=3), 1000) == [Segment(0, None, 0, 34)]
    assert cut(index, Sampling(), 500) == [Segment(0, 2000, 0, 50), Segment(2000, None, 50, 50)]


def test_no_cut_between_frames_of_the_same_millisecond() -> None:
    assert cut(index_of([0, 5, 10, 10, 10, 11, 20]), Sampling(every=3), 10)[1].start_ms == 20


def test_a_shard_has_a_length() -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        cut(index_of([0]), Sampling(), 0)


samplings = st.one_of(
    st.builds(Sampling, every=st.integers(1, 9)), st.builds(lambda fps: Sampling(fps=fps), st.floats(0.2, 90))
)


@given(gaps=st.lists(st.integers(0, 300), min_size=1, max_size=150), sampling=samplings, shard_ms=st.integers(1, 5000))
def test_pieces_select_what_the_whole_selects(gaps: list[int], sampling: Sampling, shard_ms: int) -> None:
    times = [0, *np.cumsum(gaps).tolist()]
    segments = cut(index_of(times), sampling, shard_ms)
    together: list[int] = []
    for segment in segments:
        end = inf if segment.end_ms is None else segment.end_ms
        place = [n for n, time in enumerate(times) if segment.start_ms <= time < end]
        assert place[0] == segment.start_frame
        here = [n for n, _ in select(sampling, [(n, times[n]) for n in place])]
        assert here[0] == segment.start_frame
        assert len(here) == segment.frames
        together += here
    assert together == picked(sampling, times)
    assert all(b.start_ms == a.end_ms for a, b in pairwise(segments))
    if len(segments) > 1:
        assert times[-1] + 40 - segments[-1].start_ms >= shard_ms / 2


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 6), st.booleans())
def test_a_coarser_sampling_goes_on_from_each_piece_as_from_the_whole(
    gaps: list[int], step: int, length: int, by_rate: bool
) -> None:
    times = list(np.cumsum([0, *gaps]).tolist())
    sampling = Sampling(fps=7.0) if by_rate else Sampling(every=2)
    coarse = sampling.coarser(step)
    sampled = list(select(sampling, enumerate(times)))
    whole = list(select(coarse, iter(sampled)))
    assert set(whole) <= set(sampled)
    pieces = cut(index_of(times), sampling, length * 100, coarse)
    assert sum(piece.frames for piece in pieces) == len(sampled)
    parts = [
        list(select(coarse, [(index, ms) for index, ms in sampled if start.start_frame <= index < end]))
        for start, end in zip(pieces, [*(piece.start_frame for piece in pieces[1:]), len(times)], strict=True)
    ]
    assert [frame for part in parts for frame in part] == whole
    assert all(part[0][0] == piece.start_frame for part, piece in zip(parts, pieces, strict=True) if part)
