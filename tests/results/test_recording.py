"""What a stream's worker writes: hours, fenced appends that may be repeated, take-overs, and its tracks."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, text, update

from results.database import reading, writing
from results.emotions import EMOTIONS
from results.errors import JobCancelledError, ShardLostError
from results.jobs import cancel_job, delete_job
from results.leases import Claim, requeue
from results.read.status import job_statuses
from results.read.streams import events_of
from results.recording import append_stream, hour, release, resume
from results.stream_tables import Stream
from results.tables import Face, FaceScore, Frame, Media, Model, Shard, Track
from tests.support.rows import face, frame, new_stream, silence, take_stream, track

TWO = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)
LAST = timedelta(minutes=59, seconds=59)


@pytest.fixture
def claim(database: Database) -> Claim:
    """A stream that a worker has."""
    with writing(database) as session:
        taken = take_stream(session, new_stream(session))
        resume(session, taken)
        return taken


def test_a_stream_that_runs_for_years_counts_on(database: Database, claim: Claim) -> None:
    with writing(database) as session:
        session.execute(update(Shard).where(Shard.id == claim.id).values(frames=2**31 - 1, faces=2**31 - 1))
    assert add(database, claim, 0, 0, 1)
    with reading(database) as session:
        assert session.execute(select(Shard.frames, Shard.faces)).one() == (2**31 + 1, 2**31 + 1)
        (status,) = job_statuses(session, [claim.job_id])
        assert json.loads(json.dumps([status.frames, status.faces])) == [2**31 + 1, 2**31 + 1]
        progress = session.execute(text("SELECT frames, faces FROM job_progress")).one()
        assert json.loads(json.dumps([*progress])) == [2**31 + 1, 2**31 + 1]


def add(database: Database, claim: Claim, n: int, *indices: int) -> bool:
    """Append number `n`: a frame of the first hour with one face for each index, five a second."""
    with writing(database) as session:
        media_id = hour(session, claim, TWO).media_id
        return append_stream(
            session,
            claim,
            n,
            frames=[frame(media_id, index, index * 200, 1) for index in indices],
            faces=[face(media_id, index, index * 200, track_id=7, happy=1.0) for index in indices],
            next_track_id=8,
        )


def takeover(database: Database, claim: Claim, worker: str) -> Claim:
    with writing(database) as session:
        silence(session, claim.id, seconds=13)
        taken = take_stream(session, claim.job_id, worker)
        resume(session, taken)
        return taken


def indices(database: Database) -> list[int]:
    with reading(database) as session:
        frames = list(session.scalars(select(Frame.frame_index).order_by(Frame.media_id, Frame.frame_index)))
        assert list(session.scalars(select(Face.frame_index).order_by(Face.media_id, Face.frame_index))) == frames
        return frames


def test_an_append_whose_acknowledgement_was_lost_may_be_repeated(database: Database, claim: Claim) -> None:
    assert add(database, claim, 0, 0, 1)
    assert not add(database, claim, 0, 0, 1)
    assert add(database, claim, 1, 2)
    assert not add(database, claim, 1, 2)
    assert indices(database) == [0, 1, 2]
    for n in (0, 3):
        with pytest.raises(ValueError, match="2 are committed"):
            add(database, claim, n, 9)
    with reading(database) as session:
        shard, stream = session.scalars(select(Shard)).one(), session.scalars(select(Stream)).one()
        medium = session.scalars(select(Media)).one()
        assert (shard.frames, shard.faces, stream.appends, stream.next_track_id) == (3, 3, 2, 8)
        assert (medium.frame_count, medium.duration_ms) == (3, 401)


def test_a_late_twin_neither_appends_nor_makes_an_hour(database: Database, claim: Claim) -> None:
    assert add(database, claim, 0, 0)
    new = takeover(database, claim, "w2")
    for n in range(2):
        with pytest.raises(ShardLostError):
            add(database, claim, n, n)
    with pytest.raises(ShardLostError), writing(database) as session:
        hour(session, claim, TWO + timedelta(hours=9))
    assert add(database, new, 1, 1)
    with pytest.raises(ShardLostError):
        add(database, claim, 2, 2)
    assert indices(database) == [0, 1]
    with reading(database) as session:
        assert TWO + timedelta(hours=9) not in session.scalars(select(Media.started_at)).all()


def test_a_stopped_or_deleted_stream_takes_no_rows(database: Database, claim: Claim) -> None:
    with writing(database) as session:
        cancel_job(session, claim.job_id)
    with pytest.raises(JobCancelledError):
        add(database, claim, 0, 0)
    with writing(database) as session:
        delete_job(session, claim.job_id)
    with pytest.raises(ShardLostError):
        add(database, claim, 0, 0)


def test_each_hour_is_one_medium(database: Database, claim: Claim) -> None:
    with writing(database) as session:
        first = hour(session, claim, TWO + LAST)
        second = hour(session, claim, TWO + LAST + timedelta(seconds=1))
        assert (first.started_at, second.started_at) == (TWO, TWO + timedelta(hours=1))
        assert hour(session, claim, TWO) == first
        rows = [frame(first.media_id, 0, 3_599_900, 0), frame(second.media_id, 0, 100, 0)]
        sizes = {first.media_id: (640, 360)}
        append_stream(session, claim, 0, frames=rows, faces=[], sizes=sizes, next_track_id=0)
        assert hour(session, claim, TWO + timedelta(hours=1)).next_frame_index == 1
        media = session.scalars(select(Media).order_by(Media.position)).all()
        found = [(m.kind, m.state, m.uri, m.position * 3600, m.frame_count, m.duration_ms, m.width) for m in media]
        seconds, same = int(TWO.timestamp()), ("stream", "done", "rtsp://camera/lobby")
        assert found == [(*same, seconds, 1, 3_599_901, 640), (*same, seconds + 3600, 1, 101, None)]
        at = session.execute(text("SELECT media_id, second, at FROM emotion_timeline ORDER BY media_id")).all()
        moments = [str(row.at)[:19] for row in at]
        assert moments == ["2026-11-26 14:59:59", "2026-11-26 15:00:00"]


def test_a_takeover_is_an_event_and_closes_the_tracks_that_were_open(database: Database, claim: Claim) -> None:
    add(database, claim, 0, 0, 1)
    with writing(database) as session:
        media_id = hour(session, claim, TWO).media_id
        ended = track(media_id, 3, 0, 100, 9, sad=1.0)
        older = track(media_id, 7, 0, 0, 1, sad=1.0)
        append_stream(session, claim, 1, frames=[], faces=[], tracks=[ended, older], next_track_id=8)
    new = takeover(database, claim, "w2")
    with writing(database) as session:
        tracks = {each.track_id: each for each in session.scalars(select(Track))}
        assert (tracks[3].observations, tracks[3].emotion) == (9, "sad")
        assert (tracks[7].last_ms, tracks[7].observations, tracks[7].emotion) == (200, 2, "happy")
        (event,) = events_of(session, "lobby", 9)
        assert (event.kind, event.detail) == ("taken_over", "w2 took the stream over from w1.")
        # The same worker, after it gave the stream back.
        release(session, new)
        assert session.scalars(select(Stream.state)).one() == "waiting"
        again = resume(session, take_stream(session, claim.job_id, "w2"))
        assert (again.next_track_id, again.appends) == (8, 2)
        assert len(events_of(session, "lobby", 9)) == 1


def test_tracks_are_closed_in_the_present_hour_after_a_clock_was_set_back(database: Database, claim: Claim) -> None:
    now = datetime.now(UTC)
    with writing(database) as session:
        for ahead in (2, 3):
            hour(session, claim, now + timedelta(hours=ahead))
        media_id = hour(session, claim, now).media_id
        seen = [face(media_id, 0, 100, track_id=7, happy=1.0)]
        append_stream(session, claim, 0, frames=[frame(media_id, 0, 100, 1)], faces=seen, next_track_id=8)
    takeover(database, claim, "w2")
    with reading(database) as session:
        assert session.scalars(select(Track.media_id)).all() == [media_id]


def test_a_track_may_be_written_again_and_has_a_row_in_each_hour(database: Database, claim: Claim) -> None:
    with writing(database) as session:
        first, second = (hour(session, claim, TWO + timedelta(hours=n)).media_id for n in range(2))
        crossed = [track(first, 1, 0, 3_599_999, 5, happy=0.5), track(second, 1, 0, 0, 1, happy=1.0)]
        append_stream(session, claim, 0, frames=[], faces=[], tracks=crossed, next_track_id=2)
        ended = [track(second, 1, 0, 400, 3, fear=0.5)]
        append_stream(session, claim, 1, frames=[], faces=[], tracks=ended, next_track_id=2)
        rows = session.execute(select(Track.media_id, Track.observations, Track.emotion).order_by(Track.media_id)).all()
        assert [tuple(row) for row in rows] == [(first, 5, "happy"), (second, 3, "fear")]


def test_only_frames_are_progress(database: Database, claim: Claim) -> None:
    with writing(database) as session:
        requeue(session, claim, "its process died")
        silence(session, claim.id)
        second = take_stream(session, claim.job_id)
        append_stream(session, second, 0, frames=[], faces=[], next_track_id=0)
        shard = session.get_one(Shard, second.id)
        assert (shard.not_before is None, shard.attempts, shard.error) == (False, 2, "its process died")
    add(database, second, 1, 0)
    with reading(database) as session:
        shard = session.get_one(Shard, second.id)
        assert (shard.not_before, shard.attempts, shard.error) == (None, 1, None)


def test_counts_go_on_over_takeovers_and_figures_are_replaced(database: Database, claim: Claim) -> None:
    counts = {"skipped_stale": 2, "skipped_decode": 3, "skipped_overload": 0, "reconnects": 1}
    for n in range(2):
        owner = takeover(database, claim, f"w{n}")
        with writing(database) as session:
            figures = counts | {"state": "live", "capture_fps": 20.0 + n}
            append_stream(session, owner, n, frames=[], faces=[], figures=figures, next_track_id=0)
    with reading(database) as session:
        stream = session.scalars(select(Stream)).one()
        assert {name: getattr(stream, name) for name in counts} == {name: 2 * count for name, count in counts.items()}
        assert (stream.state, stream.capture_fps) == ("live", 21.0)


def test_members_scores_go_with_their_faces(database: Database, claim: Claim) -> None:
    with writing(database) as session:
        session.add(Model(id="a", sha256="a", name="a", kind="classifier", architecture="x", source="given", facts={}))
        media_id = hour(session, claim, TWO).media_id
        score = {"media_id": media_id, "frame_index": 0, "face_index": 0, "model_id": "a"}
        rows = {"frames": [frame(media_id, 0, 0, 1)], "faces": [face(media_id, 0, 0)]}
        scores = [score | dict.fromkeys(EMOTIONS, 0.1)]
        append_stream(session, claim, 0, **rows, scores=scores, next_track_id=0)  # type: ignore[arg-type]
        assert session.scalars(select(FaceScore.frame_index)).all() == [0]
