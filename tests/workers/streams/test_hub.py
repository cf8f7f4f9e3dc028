"""A hub in this process, with real sources, networks and databases."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, update

from fer_model.engines import Engine
from fer_model.networks.manifest import ModelSet
from fer_model.types import EMOTIONS
from results import recording as appends
from results.database import reading, writing
from results.errors import DatabaseFullError, DatabaseReadOnlyError, DatabaseUnreachableError
from results.jobs import delete_job, get_job
from results.leases import MAX_ATTEMPTS
from results.streams import Login, start_stream, stop_stream
from results.tables import Face, Shard
from tests.support.live_servers import write_live_clip
from tests.support.on_air import (
    NAME,
    add,
    check_rows,
    events_of,
    frames_of,
    shard_of,
    stream_of,
    tracks_by_time,
    unwritten_tracks,
)
from tests.support.watching import until
from workers.models import store
from workers.queue.app import make_app
from workers.settings import Settings
from workers.streams.hub import Hub
from workers.streams.live import FIELD, FORGET_S, KEY, MOST_WAITING, Live
from workers.streams.logins import login_of, password_variable
from workers.streams.serving import serve

Summaries = list[dict[str, Any]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a clip of a few seconds with faces, 25 frames a second, played again and again."""
    return f"file://{write_live_clip(tmp_path_factory.mktemp('clips') / 'lobby.mp4', seconds=4)}"


class Process:
    """What a worker's process has: its hub, and what it published; `ended` if it would have ended."""

    def __init__(self, database: Database, networks: Engine, **settings: Any) -> None:
        self.published: Summaries = []
        self.forgotten: list[str] = []
        self.ended: list[bool] = []
        self.is_stopping = False
        self.hub = Hub(
            database,
            Settings(**settings),
            f"{os.uname().nodename}:{os.getpid()}",
            lambda models: networks,
            publish=self.publish,
            stopping=lambda: self.is_stopping,
            die=lambda: self.ended.append(True),
        )

    def publish(self, name: str, summary: dict[str, Any] | None) -> None:
        if summary is None:
            self.forgotten.append(name)
        else:
            self.published.append(summary)


@contextmanager
def running(database: Database, networks: Engine, **settings: Any) -> Iterator[Process]:
    process = Process(database, networks, **settings)
    try:
        yield process
    finally:
        process.hub.close()


def has_frames(database: Database, more_than: int = 20) -> Callable[[], bool]:
    return lambda: len(frames_of(database)) > more_than


def test_a_stream_gets_rows_within_a_second_until_it_is_stopped(
    database: Database, networks: Engine, clip: str
) -> None:
    shard = add(database, clip, fps=10.0, keep_member_scores=True)
    with running(database, networks) as process:
        assert serve(process.hub, shard)
        assert not serve(process.hub, shard), "a second message for it changes nothing"
        until(has_frames(database, 30))
        row = stream_of(database)
        assert (row.state, row.clock) == ("live", "arrival")
        assert row.delay_p95_ms is not None and row.delay_p95_ms < 5000
        with writing(database) as session:
            assert stop_stream(session, NAME)
        stopped = time.monotonic()
        until(lambda: not process.hub.serves(shard))
        assert time.monotonic() - stopped < 5, "within 2 s on a free machine"
        count = len(frames_of(database))
        assert any(each["faces"] and each["tracks"] for each in process.published)
        last = process.published[-1]
        until(lambda: process.forgotten == [NAME])
        assert (last["stream"], last["state"]) == (NAME, "live") and set(last["skipped"]) == {
            "stale",
            "decode",
            "overload",
        }
        assert all(set(each["means"]) in (set(), set(EMOTIONS)) for each in process.published)
    check_rows(database)
    assert len(frames_of(database)) == count, "a hub that closes adds nothing to a stopped stream"
    assert unwritten_tracks(database) == set()
    assert [kind for kind, _ in events_of(database)][-1] == "stopped"
    assert process.ended == []


def test_a_stream_that_is_released_and_taken_up_again_counts_on(
    database: Database, networks: Engine, clip: str
) -> None:
    shard = add(database, clip, fps=10.0)
    for round_ in range(2):
        with running(database, networks) as process:
            assert serve(process.hub, shard)
            until(has_frames(database, 20 * (round_ + 1)))
        row = shard_of(database)
        assert (row.state, row.epoch, row.attempts) == ("pending", round_ + 1, 0), "a stop of the worker is no death"
        assert stream_of(database).state == "waiting"
        assert unwritten_tracks(database) == set()
    check_rows(database)
    tracks = tracks_by_time(database)
    assert tracks == list(range(len(tracks))) and len(tracks) > 1, "numbered upwards"


def test_an_outage_of_the_database_loses_no_row_and_doubles_none(
    database: Database, networks: Engine, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third append is lost on its way there, and the acknowledgement of every fifth on its way back."""
    calls = [0]
    true_append, true_writing = appends.append_stream, writing

    def append(*given: Any, **named: Any) -> bool:
        calls[0] += 1
        if calls[0] % 3 == 0:
            raise DatabaseUnreachableError
        return true_append(*given, **named)

    @contextmanager
    def acknowledged(where: Database) -> Iterator[Any]:
        with true_writing(where) as session:
            yield session
        if calls[0] % 5 == 0:
            calls[0] += 1
            raise DatabaseUnreachableError

    monkeypatch.setattr("results.recording.append_stream", append)
    monkeypatch.setattr("workers.streams.recorder.writing", acknowledged)
    shard = add(database, clip, fps=10.0)
    with running(database, networks) as process:
        serve(process.hub, shard)
        until(has_frames(database, 50))
        monkeypatch.undo()
    assert calls[0] > 5
    check_rows(database)
    times = [at_ms for _, _, at_ms, _ in frames_of(database)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) < 1500, "frames that came during an outage are there"


def test_a_full_hub_leaves_a_stream_to_another(database: Database, networks: Engine, clip: str) -> None:
    first, second = add(database, clip, "first"), add(database, clip, "second")
    with running(database, networks) as process:
        with process.hub.analysis() as analysis:
            analysis.balance.speed.fps = analysis.balance.speed.measured = 6.0
        assert serve(process.hub, first), "the first one always fits"
        assert not serve(process.hub, second)
        row = shard_of(database, "second")
        assert (row.state, row.queued_at, row.attempts) == ("pending", None, 0)
        assert row.not_before is not None
        with running(database, networks) as other:
            until(lambda: serve(other.hub, second))
            # As after three hours.
            process.hub.refusals["second"] = 1100
            assert not serve(process.hub, second)


def test_streams_of_a_full_detector_are_slowed_down_and_say_so(
    database: Database, networks: Engine, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.streams.balance.CALM", 2)
    monkeypatch.setattr("workers.streams.pump.Pump.load", lambda pump: (6.0, 1.0))
    shard = add(database, clip)
    with running(database, networks) as process:
        serve(process.hub, shard)
        until(lambda: any(kind == "degraded" for kind, _ in events_of(database)))
        until(lambda: stream_of(database).skipped_overload > 10)
        monkeypatch.setattr("workers.streams.pump.Pump.load", lambda pump: (1000.0, 1.0))
        until(lambda: sum(kind == "degraded" for kind, _ in events_of(database)) == 2)
    details = [detail for kind, detail in events_of(database) if kind == "degraded"]
    assert details[0].startswith("The detector is full: ") and details[1].startswith("The detector has room")


def test_a_stream_without_a_source_keeps_its_lease_and_tells_why(
    database: Database, networks: Engine, tmp_path: Path
) -> None:
    shard = add(database, f"file://{tmp_path}/none.mp4")
    with running(database, networks) as process:
        assert serve(process.hub, shard)
        before = shard_of(database).heartbeat_at
        until(lambda: shard_of(database).heartbeat_at != before)
        assert stream_of(database).state in ("connecting", "reconnecting")
        with writing(database) as session:
            stop_stream(session, NAME)
        until(lambda: not process.hub.serves(shard), 5)
        with writing(database) as session:
            assert start_stream(session, NAME)
        assert serve(process.hub, shard), "on again, in the same hub"


def test_a_lost_lease_ends_the_work_on_a_stream(database: Database, networks: Engine, clip: str) -> None:
    shard = add(database, clip, fps=10.0)
    with running(database, networks) as process:
        serve(process.hub, shard)
        until(has_frames(database))
        with writing(database) as session:
            session.execute(update(Shard).where(Shard.id == shard).values(epoch=Shard.epoch + 1, worker="another:1"))
        until(lambda: not process.hub.serves(shard), 5)
    assert shard_of(database).state == "running", "it is another's"
    check_rows(database)


@pytest.mark.parametrize("error", [DatabaseFullError, DatabaseReadOnlyError])
def test_a_database_that_takes_nothing_for_a_while_costs_no_row(
    database: Database, networks: Engine, clip: str, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A full disk, or a replica that is not the primary yet."""
    shard = add(database, clip, fps=10.0)
    refused: list[int] = []

    def refuse(*_: Any, **__: Any) -> None:
        refused.append(1)
        raise error("nothing is written")

    with running(database, networks) as process:
        assert serve(process.hub, shard)
        until(has_frames(database, 5))
        with monkeypatch.context() as patch:
            patch.setattr(appends, "append_stream", refuse)
            until(lambda: len(refused) >= 3)
            assert process.hub.serves(shard)
        until(has_frames(database, len(frames_of(database)) + 10))
        assert shard_of(database).epoch == 1, "no second attempt"
    check_rows(database)


def test_a_manifest_that_is_half_written_ends_no_stream(
    database: Database, networks: Engine, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.streams.hub.MODELS_S", 0.2)
    shard = add(database, clip, fps=10.0)
    with running(database, networks, models_dir=tmp_path) as process:
        assert serve(process.hub, shard)
        until(has_frames(database, 5))
        (tmp_path / "manifest.json").write_text("{")
        until(has_frames(database, len(frames_of(database)) + 20))
        assert process.hub.serves(shard) and process.ended == []


def test_rows_that_the_database_refuses_are_a_counted_attempt(
    database: Database, networks: Engine, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.streams.recorder.rows_of_faces", lambda place, faces: [{**place, "none": 1}])
    shard = add(database, clip, fps=10.0)
    for attempt in range(MAX_ATTEMPTS + 1):
        with running(database, networks) as process:
            with writing(database) as session:
                session.execute(update(Shard).values(not_before=None))
            assert serve(process.hub, shard), "a stream is tried without end"
            until(lambda: not process.hub.serves(shard))
        row = shard_of(database)
        assert (row.state, row.attempts) == ("pending", attempt + 1)
        assert row.error


def test_crops_are_kept_under_the_numbers_of_their_rows(
    database: Database, networks: Engine, clip: str, tmp_path: Path
) -> None:
    shard = add(database, clip, fps=5.0, keep_crops=str(tmp_path / "crops"))
    with running(database, networks) as process:
        serve(process.hub, shard)
        until(has_frames(database))
    with reading(database) as session:
        faces = session.execute(select(Face.media_id, Face.frame_index, Face.face_index)).all()
    there = {
        path.relative_to(tmp_path / "crops" / shard_of(database).job_id).as_posix() for path in tmp_path.rglob("*.jpg")
    }
    assert there == {f"{medium}/{frame:08d}-{face:03d}.jpg" for medium, frame, face in faces} != set()


def test_crops_that_are_written_while_a_stream_is_removed_are_deleted(
    database: Database, networks: Engine, clip: str, tmp_path: Path
) -> None:
    shard = add(database, clip, fps=5.0, keep_crops=str(tmp_path / "crops"))
    with running(database, networks) as process:
        serve(process.hub, shard)
        # Not `rglob`, which fails where a folder goes while it looks.
        until(lambda: any(files for *_, files in os.walk(tmp_path / "crops")))
        with writing(database) as session:
            delete_job(session, get_job(session, NAME).id)
        until(lambda: not any(files for *_, files in os.walk(tmp_path / "crops")))


def test_a_source_outside_the_roots_is_refused_with_a_reason(
    database: Database, networks: Engine, clip: str, tmp_path: Path
) -> None:
    shard = add(database, clip)
    with running(database, networks, media_roots=str(tmp_path)) as process:
        assert not serve(process.hub, shard)
    row = shard_of(database)
    assert (row.state, row.attempts) == ("pending", 1), "another host may have other roots"
    assert row.error is not None and "FER_MEDIA_ROOTS" in row.error


def test_a_process_whose_frames_all_fail_is_replaced(database: Database, networks: Engine, clip: str) -> None:
    shard = add(database, clip)
    with running(database, networks) as process:
        serve(process.hub, shard)
        until(has_frames(database, 5))
        with process.hub.analysis() as analysis:
            analysis.analyser.close()
        until(lambda: process.ended)
        assert not process.hub.is_open
    assert shard_of(database).state == "pending"


def test_the_environment_has_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert password_variable("front-door 2") == "FER_STREAM_PASSWORD_FRONT_DOOR_2"
    stored = Login("admin", "old")
    assert login_of("lobby", stored, {}) is stored
    assert login_of("lobby", stored, {"FER_STREAM_PASSWORD_LOBBY": "new"}) == Login("admin", "new")
    assert login_of("lobby", None, {"FER_STREAM_PASSWORD_LOBBY": "new"}) == Login("", "new")


def test_a_promoted_ensemble_is_taken_up(
    database: Database, networks: Engine, models: ModelSet, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.streams.hub.MODELS_S", 0.0)
    shard = add(database, clip, fps=10.0)
    with running(database, networks, models_dir=tmp_path) as process:
        assert serve(process.hub, shard)
        until(has_frames(database, 5))
        before = shard_of(database).ensemble_id
        other = replace(models, shares=tuple(reversed(models.shares)))
        with writing(database) as session:
            promoted = store.add_ensemble(session, tmp_path, "other", other).id
        store.promote(database, tmp_path, "other")
        until(lambda: shard_of(database).state == "pending")
        assert not process.hub.serves(shard) and shard_of(database).attempts == 0
        until(lambda: serve(process.hub, shard))
        count = len(frames_of(database))
        until(has_frames(database, count + 5))
        assert shard_of(database).ensemble_id == promoted != before
    check_rows(database)


def test_live_summaries_reach_redis_and_an_outage_of_it_holds_nothing_up(broker: str, tmp_path: Path) -> None:
    away = make_app(Settings(broker_url=f"redis+socket://{tmp_path}/none.sock"))
    lost = Live(away)
    for _ in range(MOST_WAITING + 10):
        lost.publish("door", {"faces": 1})
    app = make_app(Settings(broker_url=broker))
    live = Live(app)
    live.publish("door", {"faces": 2})
    with app.connection_for_read() as connection:
        client = connection.default_channel.client
        until(lambda: client.xlen(KEY + "door"))
        assert [json.loads(entry[FIELD.encode()]) for _, entry in client.xrange(KEY + "door")] == [{"faces": 2}]
        assert 0 < client.ttl(KEY + "door") <= FORGET_S
        live.publish("door", {"faces": 3})
        live.publish("door", None)
        until(lambda: not client.exists(KEY + "door"))
