"""Rows of one stream over the full hour, and over an append whose acknowledgement was lost."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.sources.live.packets import CaptureEvent
from fer_model.types import EMOTIONS, FaceObservation
from results import recording
from results.database import reading, writing
from results.errors import DatabaseUnreachableError
from results.leases import claim
from results.streams import StreamOptions
from results.tables import Face, Frame, Media, Track
from tests.support.on_air import add, check_rows, events_of, stream_of
from tests.support.outages import always_away
from workers.streams.pump import Seen
from workers.streams.recorder import Recorder

FULL_HOUR = int(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp() * 1000)
FACE = FaceObservation((1.0, 2.0, 3.0, 4.0), 0.9, tuple(1.0 * (name == "happy") for name in EMOTIONS), 0.5, 4)


def at(*times_ms: int) -> list[Seen]:
    """Frames with one face, so many ms from the full hour."""
    return [Seen(FULL_HOUR + time_ms, (640, 360), [FACE], ()) for time_ms in times_ms]


@pytest.fixture
def recorder(database: Database) -> Recorder:
    """Writes a stream that was just claimed."""
    shard = add(database, "rtsp://door/")
    with writing(database) as session:
        claimed = claim(session, shard, "host:1")
        assert claimed is not None
        resumed = recording.resume(session, claimed)
    assert resumed.options == StreamOptions()
    return Recorder(database, claimed, resumed, None, None)


def append(recorder: Recorder, seen: list[Seen], lost_ms: float | None = 1000.0) -> None:
    recorder.gather(seen, [], dict, lost_ms)
    assert recorder.append() == seen


def test_each_hour_has_its_frames_and_its_part_of_a_track(database: Database, recorder: Recorder) -> None:
    append(recorder, at(-200, -100, 0, 100))
    append(recorder, at(200))
    assert recorder.has_open_tracks
    recorder.gather([], [CaptureEvent(FULL_HOUR - 1, "clock", "It was set back.")], dict, None)
    recorder.append()
    with reading(database) as session:
        hours = session.scalars(select(Media).order_by(Media.position)).all()
        frames = session.execute(
            select(Media.position, Frame.frame_index, Frame.time_ms)
            .join(Media, Media.id == Frame.media_id)
            .order_by(Media.position, Frame.frame_index)
        ).all()
        tracks = session.scalars(select(Track).order_by(Track.media_id)).all()
        assert session.scalars(select(Face.track_id).distinct()).all() == [4]
    early, late = (hour.position for hour in hours)
    assert late == early + 1 == FULL_HOUR // 3_600_000
    assert [tuple(row) for row in frames] == [
        (early, 0, 3_599_800),
        (early, 1, 3_599_900),
        (late, 0, 0),
        (late, 1, 100),
        (late, 2, 200),
    ]
    assert [(track.track_id, track.emotion, track.happy) for track in tracks] == [(4, "happy", 1.0)] * 2
    assert [(track.first_ms, track.last_ms, track.observations) for track in tracks] == [
        (3_599_800, 3_599_900, 2),
        (0, 200, 3),
    ]
    assert [hour.frame_count for hour in hours] == [2, 3]
    assert events_of(database) == [("clock", "It was set back.")]


def test_an_append_whose_acknowledgement_was_lost_is_repeated_as_it_was(database: Database, recorder: Recorder) -> None:
    append(recorder, at(0, 100))
    recorder.gather(at(200, 300), [], lambda: {"skipped_stale": 3}, 1000.0)
    batch = recorder.waiting
    recorder.append()
    # As if nothing had come back.
    recorder.waiting, recorder._appends = batch, recorder._appends - 1
    recorder.append()
    append(recorder, at(400))
    check_rows(database)
    with reading(database) as session:
        assert session.scalars(select(Frame.time_ms).order_by(Frame.frame_index)).all() == [0, 100, 200, 300, 400]


def test_a_batch_of_many_hours_has_each_frame_and_each_track_once(database: Database, recorder: Recorder) -> None:
    """As after an outage of hours, with one look an hour."""
    hours = [FULL_HOUR + number * 3_600_000 for number in range(6)]
    events = [CaptureEvent(hour, "clock", "It was set back.") for hour in hours]
    seen = [Seen(hour + late_ms, (640, 360), [FACE], ()) for hour in hours for late_ms in (0, 100)]
    recorder.gather(seen, events, dict, None)
    recorder.append()
    append(recorder, [Seen(hours[0] + 200, (640, 360), [FACE], ())], None)
    check_rows(database)
    with reading(database) as session:
        assert list(session.scalars(select(Frame.frame_index).order_by(Frame.media_id, Frame.frame_index))) == [
            *(0, 1, 2),
            *(0, 1) * 5,
        ]


def test_figures_wait_with_a_batch_that_could_not_be_gathered(database: Database, recorder: Recorder) -> None:
    """They are counts since the last call: those of a lost call would be missing for ever."""
    asked: list[int] = []

    def figures() -> dict[str, int]:
        asked.append(1)
        return {"skipped_stale": 7}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "hour", always_away)
        with pytest.raises(DatabaseUnreachableError):
            recorder.gather(at(0), [], figures, None)
    assert asked == [] and recorder.waiting is None
    recorder.gather(at(0), [], figures, None)
    recorder.append()
    assert stream_of(database).skipped_stale == 7
