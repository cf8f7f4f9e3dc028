"""Streams: a job without an end, its name, its login, stopping and starting, and what `stream list` shows."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, text

from results.closing import ready_to_close
from results.database import reading, writing
from results.errors import JobCancelledError, NameTakenError, RecordingError, UnknownStreamError
from results.jobs import cancel_job, delete_job, get_job, retry_job
from results.leases import heartbeat, reclaim
from results.read.naming import name_of_shard
from results.read.notes import notes
from results.read.status import job_status
from results.read.streams import events_of, stream_statuses
from results.recording import append_stream, hour, resume
from results.stream_tables import WEBCAM
from results.streams import Login, StreamOptions, add_stream, get_stream, start_stream, stop_stream
from results.tables import Job, Shard, Track
from tests.support.rows import face, frame, new_stream, silence, take_stream

TWO = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)


def test_a_stream_is_a_job_with_one_shard_and_its_login_stands_apart(database: Database) -> None:
    options = StreamOptions(fps=5.0, policy="everything", retention_ms=1000, keep_crops="/crops")
    login = Login("anna", "s3cret")
    with writing(database) as session:
        job = add_stream(session, "lobby", "rtsp://camera/1", login, options)
        new_stream(session, "door")
    assert "s3cret" not in repr(login) and StreamOptions.of({**options.as_dict(), "of_the_future": 1}) == options
    with writing(database) as session:
        resumed = resume(session, take_stream(session, job.id))
        assert (resumed.name, resumed.uri, resumed.login, resumed.options) == (
            "lobby",
            "rtsp://camera/1",
            login,
            options,
        )
        assert (resumed.next_track_id, resumed.appends, resumed.has_rows) == (0, 0, False)
        assert (job.kind, job.queue, get_job(session, "lobby").id) == ("stream", "stream", job.id)
        assert not ready_to_close(session, job.id)
        for table in ("jobs", "streams", "shards", "media"):
            assert not any("s3cret" in str(row) for row in session.execute(text(f"SELECT * FROM {table}")))


def test_names_are_unique_and_an_address_with_a_login_is_refused(database: Database) -> None:
    with writing(database) as session:
        new_stream(session, "lobby")
        with pytest.raises(NameTakenError, match="lobby"):
            new_stream(session, "lobby")
        assert len(session.scalars(select(Job)).all()) == 1
        with pytest.raises(ValueError, match="login"):
            add_stream(session, "door", "rtsp://anna:s3cret@camera/1", None, StreamOptions())
        add_stream(session, "gate", "http://camera/a@b?c=d@e", None, StreamOptions())
        with pytest.raises(UnknownStreamError, match="door"):
            get_stream(session, "door")


def test_a_stopped_stream_refuses_its_worker_and_goes_on_when_it_is_started(database: Database) -> None:
    with writing(database) as session:
        job_id = new_stream(session)
        first = take_stream(session, job_id)
        place = hour(session, first, TWO)
        rows = [frame(place.media_id, n, n * 200, 1) for n in range(3)]
        faces = [face(place.media_id, n, n * 200, track_id=0, happy=n / 2) for n in range(3)]
        append_stream(session, first, 0, frames=rows, faces=faces, next_track_id=1)
        assert stop_stream(session, "lobby") and not stop_stream(session, "lobby")
    with writing(database) as session:
        with pytest.raises(JobCancelledError):
            heartbeat(session, first)
        assert stream_statuses(session)[0].state == "stopped"
        assert name_of_shard(session, first.id) == "lobby · stream" and not list(notes(job_status(session, job_id)))
        assert [event.kind for event in events_of(session, "lobby", 10)] == ["stopped"]
        open_track = session.get_one(Track, (place.media_id, 0))
        assert (open_track.first_ms, open_track.last_ms, open_track.observations) == (0, 400, 3)
        assert (open_track.happy, open_track.emotion) == (0.5, "happy")
        assert start_stream(session, "lobby") and not start_stream(session, "lobby")
        assert stream_statuses(session)[0].state == "waiting"
        second = take_stream(session, job_id, "w2")
        resumed = resume(session, second)
        assert (resumed.has_rows, resumed.appends, resumed.next_track_id) == (True, 1, 1)
        assert [event.kind for event in events_of(session, "lobby", 10)] == ["stopped"], "it was not taken over"
        assert hour(session, second, TWO).next_frame_index == 3
        assert (job_status(session, job_id).frames, job_status(session, job_id).state) == (3, "running")


def test_cancel_and_retry_stop_and_start_a_stream_and_delete_removes_it(database: Database) -> None:
    with writing(database) as session:
        job_id = add_stream(session, "lobby", "rtsp://camera/1", Login("anna", None), StreamOptions()).id
        claim = take_stream(session, job_id)
        append_stream(
            session, claim, 0, frames=[frame(hour(session, claim, TWO).media_id, 0, 0, 0)], faces=[], next_track_id=0
        )
        assert cancel_job(session, job_id)
        assert stream_statuses(session)[0].state == "stopped"
        assert retry_job(session, job_id) == 1
        assert stream_statuses(session)[0].state == "waiting"
        assert session.scalars(select(Shard.frames)).one() == 1
        assert delete_job(session, job_id)
        for table in ("streams", "stream_logins", "stream_events", "media", "frames", "shards"):
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def test_the_status_is_that_of_a_living_worker(database: Database) -> None:
    figures = {
        **{"state": "live", "clock": "rtcp", "capture_fps": 25.0, "processed_fps": 5.0, "reconnects": 2},
        **{"delay_p50_ms": 100.0, "delay_p95_ms": 250.0, "skipped_stale": 7},
    }
    with writing(database) as session:
        job_id = new_stream(session)
        new_stream(session, "door")
        claim = take_stream(session, job_id, "host:1")
        resume(session, claim)
        door, lobby = stream_statuses(session)
        assert (door.state, door.worker, lobby.state, lobby.worker) == ("waiting", None, "connecting", "host:1")
        place = hour(session, claim, TWO)
        event = (place.media_id, TWO + timedelta(seconds=1), "connected", "The source answered.")
        rows = [frame(place.media_id, 0, 0, 1)]
        append_stream(
            session,
            claim,
            0,
            frames=rows,
            faces=[face(place.media_id, 0, 0)],
            events=[event],
            figures=figures,
            next_track_id=0,
        )
    with writing(database) as session:
        (status,) = stream_statuses(session, job_id)
        assert status.as_dict() == {
            "name": "lobby",
            "state": "live",
            "capture_fps": 25.0,
            "processed_fps": 5.0,
            "skipped": {"stale": 7, "decode": 0, "overload": 0},
            "delay_ms": {"p50": 100.0, "p95": 250.0},
            "rows": 2,
            "worker": "host:1",
            "last_event": {"at": "2026-11-26T14:00:01+00:00", "kind": "connected", "detail": "The source answered."},
            "job": job_id,
            "uri": "rtsp://camera/lobby",
            "clock": "rtcp",
            "reconnects": 2,
            "error": None,
        }
        silence(session, claim.id, seconds=20)
        (status,) = stream_statuses(session, job_id)
        assert (status.state, status.worker, status.capture_fps) == ("waiting", None, None)
        assert reclaim(session, claim.id, "host:1", "its process was killed")
        assert stream_statuses(session, job_id)[0].error == "its process was killed"
    with reading(database) as session:
        assert stream_statuses(session, "none") == []


def test_a_recording_of_a_webcam_is_not_started_again(database: Database) -> None:
    with writing(database) as session:
        job_id = add_stream(session, "webcam-1", WEBCAM, None, StreamOptions()).id
        take_stream(session, job_id)
        assert stop_stream(session, "webcam-1")
    with writing(database) as session:
        with pytest.raises(RecordingError, match="cannot be started again"):
            start_stream(session, "webcam-1")
        with pytest.raises(RecordingError, match="cannot be started again"):
            retry_job(session, job_id)
    with reading(database) as session:
        assert stream_statuses(session)[0].state == "stopped" and get_job(session, job_id).state == "cancelled"
