"""One stream between its capture and the database: stalls, and outages."""

from datetime import UTC, datetime
from typing import cast

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select

from fer_model.sources.live.capture import Capture
from fer_model.sources.live.packets import CaptureEvent
from fer_model.sources.live.watching import Figures
from fer_model.types import EMOTIONS, FaceObservation
from results import recording
from results.database import reading, writing
from results.errors import DatabaseUnreachableError
from results.leases import claim
from results.tables import Frame, Track
from tests.support.on_air import add, check_rows, unwritten_tracks
from tests.support.outages import always_away
from tests.support.watching import until
from workers.streams.pump import Seen
from workers.streams.stream import IDLE_S, Stream

FULL_HOUR = int(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp() * 1000)


class Source:
    """What a stream asks its capture for."""

    def events(self) -> list[CaptureEvent]:
        return []

    def figures(self) -> Figures:
        return Figures("live", 25.0, 0, 0, {"stale": 0, "decode": 0, "overload": 0}, 0, "arrival", 25.0)


def at(time_ms: int, emotion: str | None = None) -> Seen:
    """A frame so many ms from the full hour; with an emotion it has a face, of track 4."""
    probabilities = tuple(1.0 * (name == emotion) for name in EMOTIONS)
    faces = [FaceObservation((1.0, 2.0, 30.0, 40.0), 0.9, probabilities, 0.5, 4)] if emotion else []
    return Seen(FULL_HOUR + time_ms, (640, 360), faces, ())


@pytest.fixture
def stream(database: Database) -> Stream:
    """A stream that was just claimed."""
    shard = add(database, "rtsp://door/", policy="everything")
    with writing(database) as session:
        claimed = claim(session, shard, "host:1")
        assert claimed is not None
        resumed = recording.resume(session, claimed)
    return Stream(database, claimed, resumed, cast(Capture, Source()), None, None)


def test_a_track_that_goes_on_after_a_stall_has_one_row_of_all_its_faces(database: Database, stream: Stream) -> None:
    """As when a camera's network holds its packets back: none is missing, so the tracker goes on."""
    assert stream.feed.source
    for number in range(25):
        stream.feed.add(at(40 * number, "sad"))
    stream.write()
    stream._seen_at -= stream.feed.lost_ms / 1000 + IDLE_S
    stream.write()
    assert unwritten_tracks(database) == set(), "the track may have ended"
    for number in range(25, 75):
        stream.feed.add(at(40 * number, "happy"))
    stream.write()
    stream.write(ends=True)
    check_rows(database)
    with reading(database) as session:
        (track,) = session.scalars(select(Track)).all()
    assert (track.first_ms, track.last_ms, track.observations, track.emotion) == (0, 40 * 74, 75, "happy")
    assert track.sad == pytest.approx(1 / 3)


def test_a_capture_that_breaks_down_is_told(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the stream would have its lease, and no frame, for ever."""

    def without_threads(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("fer_model.sources.live.line.Connection", without_threads)
    stream.capture = Capture("udp://127.0.0.1:9")

    def is_told() -> bool:
        try:
            stream.write()
        except RuntimeError as error:
            return "can't start new thread" in str(error)
        return False

    until(is_told, 5)


@pytest.mark.parametrize("missing", ["hour", "append_stream"])
def test_an_outage_keeps_so_many_results_and_no_more(
    database: Database, stream: Stream, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Also one that begins when the hour turns, before the next hour is known."""
    monkeypatch.setattr("workers.streams.pump.MOST_SEEN", 200)
    stream.feed.add(at(-40))
    stream.write()
    with monkeypatch.context() as patch:
        patch.setattr(recording, missing, always_away)
        for number in range(1000):
            stream.feed.add(at(40 * number))
            if number % 100 == 0:
                with pytest.raises(DatabaseUnreachableError):
                    stream.write()
    assert stream.feed.dropped == 1000 - 201
    stream.write()
    with reading(database) as session:
        assert session.scalar(select(func.count()).select_from(Frame)) == 1 + 201
    check_rows(database)
    stream.feed.add(at(60_000))
    stream.write()
    assert stream.feed.dropped == 1000 - 201, "there is room again"
