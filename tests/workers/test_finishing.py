"""Tracks through the seams of a video."""

from results.seams import Box, ShardTracks
from workers.finishing import join_tracks

LEFT: Box = (0, 0, 10, 10)
LEFT_MOVED: Box = (1, 1, 11, 11)
RIGHT: Box = (50, 0, 60, 10)
RIGHT_MOVED: Box = (52, 0, 62, 10)


def test_a_face_in_both_frames_at_a_seam_keeps_its_number() -> None:
    first = ShardTracks(1, 0, 1000, (0, 1), first={}, last={0: LEFT, 1: RIGHT})
    second = ShardTracks(2, 1000, 2000, (0, 1), first={0: RIGHT_MOVED, 1: LEFT_MOVED}, last={0: RIGHT, 1: LEFT})
    third = ShardTracks(3, 2000, 3000, (0,), first={0: RIGHT}, last={})
    assert join_tracks([first, second, third]) == [{0: 0, 1: 1}, {0: 1, 1: 0}, {0: 1}]


def test_a_face_that_was_not_there_gets_a_new_number() -> None:
    first = ShardTracks(1, 0, 1000, (0, 1), first={}, last={1: LEFT})
    second = ShardTracks(2, 1000, 2000, (0, 1), first={0: RIGHT}, last={})
    assert join_tracks([first, second]) == [{0: 0, 1: 1}, {0: 2, 1: 3}]


def test_the_largest_overlap_is_the_same_face() -> None:
    near: Box = (4, 0, 14, 10)
    first = ShardTracks(1, 0, 1000, (0, 1), first={}, last={0: near, 1: LEFT})
    second = ShardTracks(2, 1000, 2000, (0,), first={0: LEFT}, last={})
    assert join_tracks([first, second])[1] == {0: 1}


def test_joining_twice_changes_nothing() -> None:
    first = ShardTracks(1, 0, 1000, (0, 1), first={}, last={0: LEFT, 1: RIGHT})
    again = ShardTracks(2, 1000, 2000, (0, 1), first={0: LEFT, 1: RIGHT}, last={})
    assert join_tracks([first, again]) == [{0: 0, 1: 1}, {0: 0, 1: 1}]


def test_across_a_segment_that_failed_nobody_is_the_same() -> None:
    first = ShardTracks(1, 0, 1000, (0,), first={}, last={0: LEFT})
    third = ShardTracks(3, 2000, None, (0,), first={0: LEFT}, last={})
    assert join_tracks([first, third]) == [{0: 0}, {0: 1}]
