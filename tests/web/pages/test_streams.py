"""The page Streams, run as Streamlit runs it but without a browser: states, the chart's table, events and news."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from streamlit.testing.v1 import AppTest

from results.database import writing
from results.jobs import utc_now
from results.recording import append_stream, hour
from tests.support.live_rows import FIGURES, live_stream
from tests.support.rows import new_stream, silence
from tests.support.scripted_pages import scripted, scripted_server


@pytest.fixture(autouse=True)
def server(database: Database, tmp_path: Path) -> Iterator[None]:
    with scripted_server(database, tmp_path):
        yield


def streams_page() -> AppTest:
    def script() -> None:
        from web.pages.streams import page

        page()

    return scripted(script)


def test_without_a_stream_it_says_how_to_add_one(database: Database) -> None:
    app = streams_page()
    assert "`fer-batch stream add rtsp://camera/stream --name lobby`" in app.info[0].value


def test_a_live_stream_has_its_state_its_minutes_and_its_events(database: Database) -> None:
    with writing(database) as session:
        claim = live_stream(session)
        new_stream(session, "attic")
    app = streams_page()
    states, minutes, events = (frame.value for frame in app.dataframe)
    attic, lobby = states.to_dict("records")
    assert (attic["Stream"], attic["State"], attic["Rows"]) == ("attic", "waiting", 0)
    assert (lobby["Stream"], lobby["State"], lobby["Delay, ms"]) == ("lobby", "live", "540 (95%: 967)")
    assert lobby["Frames a second"] == "24.8" and lobby["Skipped"] == FIGURES["skipped_stale"]
    assert app.selectbox(key="stream").value == "lobby", "what is live comes first"
    assert minutes["Time"].is_monotonic_decreasing and (minutes["faces"] > 0).all()
    assert events["Event"].tolist() == ["clock", "connected"]

    with writing(database) as session:
        found = hour(session, claim, utc_now(session))
        news = [(found.media_id, utc_now(session), "lost", "The source has ended.")]
        append_stream(session, claim, 1, frames=[], faces=[], next_track_id=60, events=news, figures={})
        silence(session, claim.id)
    app.run()
    states, _, events = (frame.value for frame in app.dataframe)
    assert events["Event"].tolist() == ["lost", "clock", "connected"]
    assert states["State"].tolist() == ["waiting", "waiting"], "its worker is silent"
    assert states["Last event"].tolist()[1].endswith("The source has ended.")
