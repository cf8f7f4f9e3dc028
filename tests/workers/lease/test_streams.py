"""A lease for work without an end: rows are appended, and a worker that was taken over appends no more."""

from typing import Any

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.database import reading, writing
from results.errors import ShardLostError
from results.jobs import create_job
from results.leases import MAX_ATTEMPTS, Claim
from results.plans import MediaPlan, ShardPlan, add_plan
from results.shards import append
from results.tables import Face, Frame, Shard
from tests.support.rows import face, frame
from tests.support.watching import until
from workers.lease.holding import Lease, lease

LEASE_S = 2.0
FRAME_MS = 200


@pytest.fixture
def stream(database: Database) -> int:
    """The shard of a camera."""
    with writing(database) as session:
        job, _ = create_job(session, kind="stream", name="door", options={})
        shard = ShardPlan(0, 0, planned_frames=0, video=True, start_ms=0)
        add_plan(session, job.id, [MediaPlan("rtsp://camera/door", "stream")], [shard])
        return session.scalars(select(Shard.id)).one()


def next_frame(session: Session, claim: Claim) -> int:
    """Where the stream goes on: after the last row that is there."""
    last = session.scalar(select(func.max(Frame.frame_index)).where(Frame.shard_id == claim.id))
    return 0 if last is None else last + 1


def on_air(database: Database, stream: int, worker: str, **terms: Any) -> Any:
    """The lease of a worker at the stream. Its body swallows errors, failed assertions too."""
    return lease(database, stream, worker, next_frame, **{"lease_s": LEASE_S, "heartbeat_s": 0.1, **terms})


def add(ours: Lease[int], first: int, count: int) -> None:
    """Appends frames with a face each, as a worker does every second."""
    frames = [frame(1, index, index * FRAME_MS, 1) for index in range(first, first + count)]
    faces = [face(1, index, index * FRAME_MS, happy=1.0) for index in range(first, first + count)]
    ours.commit(lambda session, claim: append(session, claim, frames, faces))


def the_camera_fails() -> None:
    raise OSError("it went away")


def indices(database: Database) -> tuple[list[int], list[int]]:
    """The frames' and the faces' numbers."""
    with reading(database) as session:
        frames = session.scalars(select(Frame.frame_index).order_by(Frame.frame_index)).all()
        faces = session.scalars(select(Face.frame_index).order_by(Face.frame_index)).all()
    return list(frames), list(faces)


def test_a_twin_takes_over_and_the_late_append_is_refused(database: Database, stream: int) -> None:
    # A worker that is cut off: no heartbeat arrives.
    with on_air(database, stream, "late", heartbeat_s=3600.0) as late:
        for first in (0, 3, 6):
            add(late, first, 3)
        with on_air(database, stream, "early", lease_s=60.0) as early:
            pass
        twins: list[Lease[int]] = []

        def takes_over() -> bool:
            with on_air(database, stream, "twin") as twin:
                if twin is None:
                    return False
                twins.append(twin)
                add(twin, twin.begun, 2)
                # It is back, with frames that the twin has, and with later ones.
                for first in (9, 20):
                    with pytest.raises(ShardLostError):
                        add(late, first, 3)
                add(twin, twin.begun + 2, 2)
            return True

        until(takes_over)
        add(late, 30, 3)
    assert early is None, "a lease that has not expired is not taken over"
    assert (late.outcome, twins[0].outcome, twins[0].begun) == ("lost", "done", 9)
    assert indices(database) == (list(range(13)), list(range(13))), "nothing lost, nothing twice"
    with reading(database) as session:
        row = session.get_one(Shard, stream)
    assert (row.worker, row.epoch, row.frames, row.faces) == ("twin", 2, 13, 13)


def test_progress_resets_the_count_of_attempts(database: Database, stream: int) -> None:
    for attempt in range(2 * MAX_ATTEMPTS):
        with on_air(database, stream, "w") as ours:
            add(ours, ours.begun, 1)
            the_camera_fails()
        assert (ours.begun, ours.outcome) == (attempt, "given_back")
    with reading(database) as session:
        row = session.get_one(Shard, stream)
    assert (row.state, row.attempts, row.frames) == ("pending", 1, 2 * MAX_ATTEMPTS)
    assert indices(database)[0] == list(range(2 * MAX_ATTEMPTS))
    with on_air(database, stream, "w"):
        the_camera_fails()
    with on_air(database, stream, "w") as early:
        pass
    assert early is None, "without progress attempts are counted, and the next one has to wait"
    with reading(database) as session:
        row = session.get_one(Shard, stream)
        assert (row.state, row.attempts) == ("pending", 2)
