"""Rows of tracks from running means."""

import pytest

from fer_model.types import EMOTIONS, FaceObservation
from workers.streams.tracks import GRACE_MS, Tracks

LOST_MS = 1000.0


def seen(track: int | None, **scores: float) -> FaceObservation:
    probabilities = tuple(scores.get(emotion, 0.0) for emotion in EMOTIONS)
    return FaceObservation((0.0, 0.0, 1.0, 1.0), 0.9, probabilities, 0.5, track)


def test_a_track_gets_its_means_when_it_has_ended() -> None:
    tracks = Tracks()
    assert tracks.add(1, 100, 5_100, [seen(7, happy=1.0), seen(8, sad=1.0), seen(None, fear=1.0)]) == []
    tracks.add(1, 300, 5_300, [seen(7, angry=0.6, happy=0.4)])
    assert tracks.ended(6_100 + GRACE_MS, LOST_MS) == [], "the tracker may find the face again"
    (sad,) = tracks.ended(6_101 + GRACE_MS, LOST_MS)
    assert (sad["media_id"], sad["track_id"], sad["observations"], sad["emotion"]) == (1, 8, 1, "sad")
    (happy,) = tracks.rows()
    assert (happy["first_ms"], happy["last_ms"], happy["observations"], happy["emotion"]) == (100, 300, 2, "happy")
    assert (happy["happy"], happy["angry"], happy["sad"]) == (pytest.approx(0.7), pytest.approx(0.3), 0.0)
    assert tracks.is_written


def test_a_track_that_goes_on_in_the_next_hour_has_a_row_in_each() -> None:
    tracks = Tracks()
    tracks.add(1, 3_599_900, 3_599_900, [seen(3, happy=1.0)])
    (before,) = tracks.add(2, 0, 3_600_000, [seen(3, sad=1.0)])
    (after,) = tracks.rows()
    assert [(row["media_id"], row["track_id"], row["emotion"]) for row in (before, after)] == [
        (1, 3, "happy"),
        (2, 3, "sad"),
    ]


def test_a_track_that_goes_on_after_its_row_was_written_gets_another_of_all_its_faces() -> None:
    tracks = Tracks()
    tracks.add(1, 100, 5_100, [seen(7, sad=1.0)])
    (early,) = tracks.rows()
    assert early["observations"] == 1 and tracks.rows() == []
    for time_ms in (200, 300):
        tracks.add(1, time_ms, 5_000 + time_ms, [seen(7, happy=1.0)])
    assert not tracks.is_written
    (whole,) = tracks.rows()
    assert (whole["first_ms"], whole["last_ms"], whole["observations"]) == (100, 300, 3)
    assert (whole["emotion"], whole["sad"]) == ("happy", pytest.approx(1 / 3))
    assert tracks.ended(60_000, LOST_MS) == [], "its row is there"
    tracks.add(1, 55_000, 60_000, [seen(7, fear=1.0)])
    (fresh,) = tracks.rows()
    assert fresh["observations"] == 1, "it was forgotten"


def test_a_clock_that_is_set_back_ends_tracks() -> None:
    tracks = Tracks()
    tracks.add(1, 90_000, 90_000, [seen(1, happy=1.0)])
    tracks.add(1, 5_000, 5_000, [seen(2, happy=1.0)])
    assert [row["track_id"] for row in tracks.ended(5_000, LOST_MS)] == [1]
