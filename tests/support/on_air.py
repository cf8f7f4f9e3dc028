"""Streams in a database: added, watched, and checked for what two workers might have written twice."""

import os
import subprocess
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy import func, select

from results import jobs
from results.database import reading, writing
from results.stream_tables import Stream, StreamEvent
from results.streams import Login, StreamOptions, add_stream
from results.tables import Face, Frame, Media, Shard, Track
from tests.support.launching import started

NAME = "lobby"
BACK_MS = 400
"""A worker's first frames bear their times of arrival, which the camera's own clock corrects by less than this."""


def add(database: Database, uri: str, name: str = NAME, login: Login | None = None, **options: Any) -> int:
    """Adds a stream; its shard."""
    with writing(database) as session:
        job = add_stream(session, name, uri, login, StreamOptions(**options))
        return jobs.shard_of(session, job.id)


def shard_of(database: Database, name: str = NAME) -> Shard:
    """The shard of a stream, as it is now."""
    with reading(database) as session:
        return session.scalars(
            select(Shard).join(Stream, Stream.job_id == Shard.job_id).where(Stream.name == name)
        ).one()


def stream_of(database: Database, name: str = NAME) -> Stream:
    """A stream's row, as it is now."""
    with reading(database) as session:
        return session.scalars(select(Stream).where(Stream.name == name)).one()


def frames_of(database: Database, name: str = NAME) -> list[tuple[int, int, int, int]]:
    """(hour, frame index, time in ms since 1970, faces) of a stream's frames in their order."""
    wanted = (
        select(Media.position, Frame.frame_index, Frame.time_ms, Frame.faces)
        .join(Frame, Frame.media_id == Media.id)
        .join(Stream, Stream.job_id == Media.job_id)
        .where(Stream.name == name)
        .order_by(Media.position, Frame.frame_index)
    )
    with reading(database) as session:
        rows = session.execute(wanted).all()
    return [(hour, index, hour * 3_600_000 + time_ms, faces) for hour, index, time_ms, faces in rows]


def events_of(database: Database, name: str = NAME) -> list[tuple[str, str]]:
    """(kind, detail) of a stream's events in their order."""
    wanted = select(StreamEvent.kind, StreamEvent.detail).join(Media, Media.id == StreamEvent.media_id)
    ours = wanted.join(Stream, Stream.job_id == Media.job_id).where(Stream.name == name).order_by(StreamEvent.id)
    with reading(database) as session:
        return [(kind, detail) for kind, detail in session.execute(ours)]


def check_rows(database: Database, name: str = NAME) -> None:
    """No frame is there twice, none is missing from the count, and later rows are of later moments."""
    frames = frames_of(database, name)
    for hour in {frame[0] for frame in frames}:
        indices = [index for position, index, *_ in frames if position == hour]
        assert indices == list(range(len(indices))), "numbered without a gap, however many workers wrote"
    times = [at_ms for _, _, at_ms, _ in frames]
    assert len(set(times)) == len(times), "two workers wrote the same moment"
    assert all(later > earlier - BACK_MS for earlier, later in pairwise(times)), "late rows"
    shard = shard_of(database, name)
    with reading(database) as session:
        faces = session.scalar(select(func.count()).where(Face.shard_id == shard.id))
    # The stream may go on meanwhile.
    assert shard.frames >= len(frames) and (faces or 0) >= sum(found for *_, found in frames)
    if shard.state != "running":
        assert (shard.frames, shard.faces) == (len(frames), faces), "the shard counts what is there"


def tracks_by_time(database: Database, name: str = NAME) -> list[int | None]:
    """The tracks of a stream, in the order of their first faces."""
    first = select(Face.track_id, func.min(Face.frame_index), Media.position).join(Media, Media.id == Face.media_id)
    first = first.where(Face.track_id.is_not(None), Face.shard_id == shard_of(database, name).id)
    with reading(database) as session:
        rows = session.execute(first.group_by(Media.position, Face.track_id)).all()
    return list(dict.fromkeys(number for number, _, _ in sorted(rows, key=lambda row: (row[2], row[1], row[0]))))


def unwritten_tracks(database: Database) -> set[int | None]:
    """Tracks of `faces` without a row of their own, or with another number of faces."""
    counted = select(Face.track_id, Face.media_id, func.count()).group_by(Face.track_id, Face.media_id)
    with reading(database) as session:
        there = {(row.track_id, row.media_id, row.observations) for row in session.scalars(select(Track))}
        return {row[0] for row in session.execute(counted) if tuple(row) not in there}


def start_stream_worker(name: str, log: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Runs a worker for streams, and does not wait for it."""
    return started(["worker", "--name", name, "--queues", "stream"], {**environment, "FER_DEVICE": "cpu"}, log)


def pid_of(worker: str | None) -> int:
    """The process of a worker, HOST:PID, which must be of this host."""
    assert worker is not None
    host, _, pid = worker.rpartition(":")
    assert host == os.uname().nodename
    return int(pid)
