"""The list of jobs, run as Streamlit runs it but without a browser: which it has, and what can be done with each."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from results.database import reading, writing
from results.jobs import cancel_job, create_job, utc_now
from results.plans import MediaPlan
from results.read.streams import events_of
from results.recording import append_stream, hour
from results.stream_tables import WEBCAM
from results.streams import StreamOptions, add_stream, stop_stream
from results.tables import Track
from tests.support.rows import face, frame, new_job, new_stream, take_stream
from tests.support.scripted_pages import scripted, scripted_server
from web.parts.job_list import MOST
from web.recording import QUEUE


@pytest.fixture(autouse=True)
def server(database: Database, tmp_path: Path) -> Iterator[None]:
    with scripted_server(database, tmp_path):
        yield


def listed() -> AppTest:
    def script() -> None:
        from web.parts.job_list import draw

        draw()

    return scripted(script)


def test_a_job_that_runs_is_listed_however_old_and_the_page_says_what_it_leaves_out(database: Database) -> None:
    with writing(database) as session:
        for number in range(MOST + 5):
            job, _ = create_job(session, kind="batch", name=f"job {number}", options={})
            if number:
                cancel_job(session, job.id)
    app = listed()
    titles = [each.value for each in app.markdown if each.value.startswith("**")]
    assert titles[0] == "**job 0**" and len(set(titles)) == MOST
    assert app.caption[-1].value == (
        "The unfinished and the newest jobs, 30 of 35; `fer-batch jobs --limit 35` lists all."
    )


def test_a_few_jobs_are_all_listed_without_a_note(database: Database) -> None:
    with writing(database) as session:
        create_job(session, kind="batch", name="one", options={})
    assert not [each.value for each in listed().caption if "newest" in each.value]


def test_reasons_of_failures_are_texts_which_wrap(database: Database) -> None:
    reason = "/srv/*torn*.mp4: is not a video"
    with writing(database) as session:
        new_job(session, [MediaPlan("/srv/*torn*.mp4", "video", state="failed", error=reason)], [])
    (text,) = listed().text
    assert reason in text.value.splitlines()


def test_a_stream_has_hours_instead_of_files(database: Database) -> None:
    with writing(database) as session:
        claim = take_stream(session, new_stream(session))
        for day in range(2):
            hour(session, claim, utc_now(session) + timedelta(days=day))
        stop_stream(session, "lobby")
    assert "2 hours · 0 frames · 0 faces" in [each.value for each in listed().caption]


def test_a_stream_that_is_cancelled_is_stopped_with_its_event_and_its_tracks(database: Database) -> None:
    """Without the event the page Streams would show the minutes of an earlier one."""
    with writing(database) as session:
        lobby = new_stream(session)
        claim = take_stream(session, lobby)
        place = hour(session, claim, utc_now(session))
        rows = [frame(place.media_id, 0, 10, 1)], [face(place.media_id, 0, 10, track_id=0, happy=1.0)]
        append_stream(session, claim, 0, frames=rows[0], faces=rows[1], next_track_id=1)
    listed().button(f"cancel-{lobby}").click().run()
    with reading(database) as session:
        assert [event.kind for event in events_of(session, "lobby", 9)] == ["stopped"]
        assert session.scalars(select(Track.track_id)).all() == [0]


def test_a_stopped_stream_can_be_retried_and_a_recording_of_a_webcam_cannot(database: Database) -> None:
    with writing(database) as session:
        lobby, webcam = new_stream(session), add_stream(session, "webcam-1", WEBCAM, None, StreamOptions())
        webcam.queue = QUEUE
        for name, job_id in (("lobby", lobby), ("webcam-1", webcam.id)):
            take_stream(session, job_id)
            stop_stream(session, name)
    app = listed()
    assert not app.button(f"retry-{lobby}").disabled
    assert app.button(f"retry-{webcam.id}").disabled
