"""What is recorded of a webcam, in the database and on the page Streams."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import sleep

import numpy as np
import psycopg
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select
from streamlit import App

from fer_model.networks.manifest import read_models
from fer_model.types import FaceObservation
from results.backlog import release_silent, streams_need_sweep
from results.database import connect, reading, upgrade, writing
from results.errors import NameTakenError
from results.leases import STREAM_LEASE_S
from results.read.streams import events_of, stream_statuses
from results.streams import stop_stream
from results.tables import Face, Frame, Job, Shard, Track
from tests.support.pages import browsing, opened, serving_page
from tests.support.rows import silence
from tests.support.scripted_pages import scripted_server
from tests.support.watching import until
from web.app import SCRIPT, _lifespan
from web.live import Watch
from web.recording import EVERY_S, Recording, _claimed, end_abandoned
from workers.models.store import add_ensemble, promote, register


def face(track_id: int) -> FaceObservation:
    return FaceObservation((1, 2, 30, 40), 0.9, (0.7, 0.1, 0.1, 0.05, 0.03, 0.01, 0.01), 0.5, track_id)


@pytest.fixture
def ensemble_id(database: Database, tmp_path: Path) -> int:
    with writing(database) as session:
        return register(session, tmp_path, read_models()).id


def test_frames_are_recorded_until_it_is_stopped(database: Database, ensemble_id: int) -> None:
    recording = Recording(database, ensemble_id, "webcam-1", 0.4)
    with pytest.raises(NameTakenError):
        Recording(database, ensemble_id, "webcam-1", 0.4)
    recording.add((640, 480), [face(1), face(2)])
    recording.add((640, 480), [])

    def state() -> str:
        with reading(database) as session:
            return stream_statuses(session)[0].state

    until(lambda: state() == "live")
    recording.add((640, 480), [face(1)])
    recording.stop()
    recording.join()
    with reading(database) as session:
        assert [frame.faces for frame in session.scalars(select(Frame).order_by(Frame.time_ms))] == [2, 0, 1]
        assert {each.emotion for each in session.scalars(select(Face))} == {"angry"}
        assert {track.track_id for track in session.scalars(select(Track))} == {1, 2}
        assert [event.kind for event in events_of(session, "webcam-1", 9)] == ["stopped"]
        (status,) = stream_statuses(session)
        assert (status.state, status.rows) == ("stopped", 6)
        # No worker serves its queue: none could open a visitor's camera.
        assert session.scalars(select(Job.queue)).one() == "webcam"


def test_what_was_recorded_while_the_database_was_away_is_written_when_it_is_back(
    postgresql: Callable[[], str], tmp_path: Path
) -> None:
    """Also when the recording was ended meanwhile."""
    upgrade(url := postgresql())
    database = connect(url)
    name = database.url.database
    with writing(database) as session:
        ensemble = register(session, tmp_path, read_models()).id
    recording = Recording(database, ensemble, "webcam-1", 0.4)
    recording.add((640, 480), [face(1)])

    def faces() -> list[int]:
        with reading(database) as session:
            return list(session.scalars(select(Frame.faces).order_by(Frame.time_ms)))

    until(lambda: faces() == [1])
    with psycopg.connect(postgresql(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        for _ in range(3):
            recording.add((640, 480), [face(1), face(2)])
            sleep(1.2 * EVERY_S)
        recording.add((640, 480), [face(3)])
        recording.stop()
        sleep(2 * EVERY_S)
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    recording.join()
    assert faces() == [1, 2, 2, 2, 1]
    with reading(database) as session:
        assert set(session.scalars(select(Track.track_id))) == {1, 2, 3}
        assert stream_statuses(session)[0].state == "stopped"
    database.dispose()


def test_a_recording_that_is_stopped_elsewhere_ends(database: Database, ensemble_id: int) -> None:
    recording = Recording(database, ensemble_id, "webcam-1", 0.4)
    with writing(database) as session:
        assert stop_stream(session, "webcam-1")
    recording.add((640, 480), [face(1)])
    until(lambda: not recording.is_on)
    with reading(database) as session:
        assert session.scalars(select(Frame)).all() == []


def test_a_sweep_of_streams_after_an_outage_leaves_a_recording_to_its_server(
    database: Database, ensemble_id: int
) -> None:
    recording = Recording(database, ensemble_id, "webcam-1", 0.4)
    with writing(database) as session:
        silence(session, session.scalars(select(Shard.id)).one(), 3600)
        assert not streams_need_sweep(session) and release_silent(session, lambda worker: True) == []
    recording.add((640, 480), [face(1)])
    recording.stop()
    recording.join()
    with reading(database) as session:
        assert stream_statuses(session)[0].state == "stopped" and len(session.scalars(select(Frame)).all()) == 1


def test_a_server_that_starts_at_once_ends_the_recording_of_the_one_that_was_killed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _claimed(database, "dead", 0.4)
    with writing(database) as session:
        silence(session, session.scalars(select(Shard.id)).one(), STREAM_LEASE_S - 1)
    monkeypatch.setattr("web.server.ABANDONED_S", 2.0)

    def state() -> str:
        with reading(database) as session:
            return stream_statuses(session)[0].state

    async def served() -> None:
        async with _lifespan(lambda: None)(App(SCRIPT)):
            assert state() == "connecting", "its lease holds"
            await asyncio.to_thread(until, lambda: state() == "stopped")

    with scripted_server(database, tmp_path, device="cuda:63"):
        asyncio.run(served())


def test_recordings_of_a_killed_server_are_stopped(
    database: Database, ensemble_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _claimed(database, "dead", 0.4)
    live = Recording(database, ensemble_id, "live", 0.4)
    end_abandoned(database)
    with reading(database) as session:
        assert [status.state for status in stream_statuses(session)] == ["connecting", "connecting"], "leases hold"
    monkeypatch.setattr("results.read.streams.STREAM_LEASE_S", -1.0)
    monkeypatch.setattr("results.leases.STREAM_LEASE_S", -1.0)
    end_abandoned(database)
    live.stop()
    live.join()
    with reading(database) as session:
        assert {status.state for status in stream_statuses(session)} == {"stopped"}


def test_what_is_recorded_is_by_the_networks_in_use(
    database: Database, ensemble_id: int, cache: Path, prepared: None, tmp_path: Path
) -> None:
    """Though the visit began before others were promoted."""
    shipped, folder = read_models(), tmp_path / "models"
    with scripted_server(database, tmp_path, cache_dir=cache, models_dir=folder) as server:
        server.watches["visit"] = Watch(server.analyser()[0], 0.4)
        alone = replace(shipped, members=shipped.members[:1], shares=(1.0,))
        with writing(database) as session:
            other = add_ensemble(session, folder, "alone", alone).id
        promote(database, folder, "alone")
        server.record("visit", "webcam-1")
        assert server.watches["visit"].look(np.zeros((360, 640, 3), np.uint8)) == []
        recording = server.recordings["visit"]
        server.end_recording("visit")
        recording.join()
        assert server.watches["visit"].analyser is server.analyser()[0]
        server.analyser()[0].close()
    with reading(database) as session:
        assert session.scalars(select(Shard.ensemble_id)).all() == [other] != [ensemble_id]


def test_a_recording_on_the_page_streams(database: Database, ensemble_id: int, tmp_path: Path) -> None:
    recording = Recording(database, ensemble_id, "webcam-1", 0.4)
    for _ in range(3):
        recording.add((640, 480), [face(1)])
    recording.stop()
    recording.join()
    url = database.url.render_as_string(hide_password=False)
    folder = {"FER_UPLOADS_DIR": str(tmp_path / "uploads"), "FER_DEVICE": "cuda:63"}
    with serving_page(tmp_path / "web.log", url, **folder) as address, browsing() as chromium:
        page = opened(chromium, f"{address}/streams")
        page.get_by_role("heading", name="Events").wait_for()
        # The chart, and its table.
        page.get_by_text("As a table").wait_for()
        page.locator(".vega-embed canvas, .vega-embed svg").first.wait_for()
        # What this server cannot do is said in a sentence.
        page.goto(address)
        page.get_by_text("cuda:63 is not available: this machine has").wait_for()
