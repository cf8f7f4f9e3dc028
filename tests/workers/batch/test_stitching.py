"""Tracks through the seams of a video."""

from collections.abc import Mapping

from results.seams import Box, ShardTracks, TrackBox
from workers.batch.stitching import join_tracks

LEFT: Box = (0, 0, 10, 10)
RIGHT: Box = (50, 0, 60, 10)
Boxes = Mapping[int, Mapping[int, Box]]
"""Frame -> track -> box."""


def segment(number: int, tracks: int, seam: Boxes | None = None, seen: Boxes | None = None) -> ShardTracks:
    """The `number`-th second of a video of 10 frames a second, with so many tracks."""
    return ShardTracks(
        shard_id=number,
        start_ms=1000 * number,
        end_ms=1000 * number + 1000,
        tracks=range(tracks),
        seam=[each for frame, boxes in (seam or {}).items() for each in face_rows(frame, boxes)],
        seen={frame: face_rows(frame, boxes) for frame, boxes in (seen or {}).items()},
    )


def face_rows(frame: int, boxes: Mapping[int, Box]) -> list[TrackBox]:
    return [TrackBox(frame, track, box) for track, box in boxes.items()]


def test_a_face_in_the_frame_at_a_seam_keeps_its_number() -> None:
    first = segment(0, 2, seam={10: {0: LEFT, 1: RIGHT}})
    second = segment(1, 2, seam={20: {0: RIGHT, 1: LEFT}}, seen={10: {0: RIGHT, 1: LEFT}})
    third = segment(2, 1, seen={20: {0: RIGHT}})
    assert join_tracks([first, second, third]) == [{0: 0, 1: 1}, {0: 1, 1: 0}, {0: 1}]


def test_a_face_that_was_not_there_gets_a_new_number() -> None:
    first = segment(0, 2, seam={10: {1: LEFT}})
    second = segment(1, 2, seen={10: {0: RIGHT}})
    assert join_tracks([first, second]) == [{0: 0, 1: 1}, {0: 2, 1: 3}]


def test_a_face_that_is_hidden_at_a_seam_is_joined_where_it_comes_back() -> None:
    first = segment(0, 2, seam={10: {0: LEFT}, 14: {1: RIGHT}})
    second = segment(1, 2, seen={10: {0: LEFT}, 14: {0: LEFT, 1: RIGHT}})
    assert join_tracks([first, second]) == [{0: 0, 1: 1}, {0: 0, 1: 1}]


def test_a_face_that_is_hidden_through_a_whole_segment_is_joined_in_the_next() -> None:
    first = segment(0, 2, seam={10: {0: LEFT}, 21: {1: RIGHT}})
    second = segment(1, 1, seam={20: {0: LEFT}}, seen={10: {0: LEFT}})
    third = segment(2, 2, seen={20: {0: LEFT}, 21: {0: LEFT, 1: RIGHT}})
    assert join_tracks([first, second, third]) == [{0: 0, 1: 1}, {0: 0}, {0: 0, 1: 1}]


def test_the_largest_overlap_is_the_same_face() -> None:
    near: Box = (2, 0, 12, 10)
    first = segment(0, 2, seam={10: {0: near, 1: LEFT}})
    second = segment(1, 1, seen={10: {0: LEFT}})
    assert join_tracks([first, second])[1] == {0: 1}


def test_the_earlier_frame_decides_and_no_number_is_given_twice() -> None:
    first = segment(0, 1, seam={10: {0: LEFT}})
    second = segment(1, 2, seen={10: {0: LEFT, 1: LEFT}, 11: {1: LEFT}})
    assert sorted(join_tracks([first, second])[1].values()) == [0, 1]


def test_joining_what_was_joined_changes_nothing() -> None:
    first = segment(0, 2, seam={10: {0: LEFT, 1: RIGHT}})
    again = segment(1, 2, seen={10: {0: LEFT, 1: RIGHT}})
    assert join_tracks([first, again]) == [{0: 0, 1: 1}, {0: 0, 1: 1}]


def test_across_a_segment_that_failed_no_face_is_the_same() -> None:
    first = segment(0, 2, seam={10: {0: LEFT}, 21: {1: RIGHT}})
    third = segment(2, 2, seen={21: {0: LEFT, 1: RIGHT}})
    assert join_tracks([first, third]) == [{0: 0, 1: 1}, {0: 2, 1: 3}]
