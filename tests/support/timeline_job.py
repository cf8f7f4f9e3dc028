"""A job of one real clip with rows that are known, for tests of the page."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert, select

from results.closing import close_job
from results.database import connect, prepare, writing
from results.jobs import shard_of
from results.plans import MediaPlan, ShardPlan
from results.shards import complete
from results.streams import StreamOptions, add_stream
from results.tables import Face, Frame, Media, Shard
from tests.support.rows import face, frame, new_job, take

STEP_MS, FRAMES = 40, 200
STREAM_MS = 20 * 60_000
"""When the stream of `add_stream_hour` begins, after the full hour."""

CHANGE_MS, LOW_MS, GAP_MS, END_MS = 4000, 5000, 6000, 7000


def add_timeline(database_url: str, clip: Path) -> str:
    """A clip of 8 s; one person, happy until `CHANGE_MS`, then sad, of low quality from `LOW_MS` on; another from 1 s.

    From `GAP_MS` on there is no face, and from `END_MS` on no frame was processed. Returns the job's id.
    """
    looked = range(END_MS // STEP_MS)
    faces = []
    for n in range(GAP_MS // STEP_MS):
        time_ms = n * STEP_MS
        scores = {"happy": 0.9, "neutral": 0.1} if time_ms < CHANGE_MS else {"sad": 0.9, "neutral": 0.1}
        box = {"x1": 100.0, "y1": 60.0, "x2": 200.0, "y2": 190.0, "quality": 0.2 if time_ms >= LOW_MS else 0.9}
        faces.append(face(1, n, time_ms, 0, track_id=0, **scores) | box)
        if time_ms >= 1000:
            faces.append(
                face(1, n, time_ms, 1, track_id=1, neutral=0.8, fear=0.2) | {"x1": 400.0, "x2": 460.0, "y2": 80.0}
            )
    counts = [sum(row["frame_index"] == n for row in faces) for n in looked]
    medium = MediaPlan(str(clip), "video", width=640, height=360, fps=25.0, duration_ms=8000, frame_count=FRAMES)
    prepare(database_url)
    database = connect(database_url)
    with writing(database) as session:
        job_id = new_job(session, [medium], [ShardPlan(0, 0, len(looked), video=True, start_ms=0)])
        complete(session, take(session, 1), [frame(1, n, n * STEP_MS, counts[n]) for n in looked], faces)
    with writing(database) as session:
        assert close_job(session, job_id)
    database.dispose()
    return job_id


def add_unfinished(database_url: str, clip: Path) -> str:
    """A job of a clip of two seconds in two shards, of which the first is done; returns its id."""
    medium = MediaPlan(str(clip), "video", width=640, height=360, fps=25.0, duration_ms=2000, frame_count=50)
    shards = [ShardPlan(0, 0, 25, video=True, start_ms=ms, end_ms=ms + 1000) for ms in (0, 1000)]
    database = connect(database_url)
    with writing(database) as session:
        job_id = new_job(session, [medium], shards)
    database.dispose()
    finish_shard(database_url, job_id, 0)
    return job_id


def finish_shard(database_url: str, job_id: str, number: int) -> None:
    """Completes the shard of a job of `add_unfinished` that begins at this second, with a happy face in each frame."""
    database = connect(database_url)
    with writing(database) as session:
        shard = session.scalars(select(Shard).where(Shard.job_id == job_id, Shard.start_ms == 1000 * number)).one()
        place = shard.media_id
        assert place is not None
        times = {n: n * STEP_MS for n in range(25 * number, 25 * number + 25)}
        faces = [face(place, n, ms, track_id=0, happy=1.0) for n, ms in times.items()]
        complete(session, take(session, shard.id), [frame(place, n, ms, 1) for n, ms in times.items()], faces)
    database.dispose()


def add_stream_hour(database_url: str, name: str = "door", hour: int = 14) -> str:
    """A stream that ran for two seconds from 20 minutes after this hour on, with one face; returns its job's id."""
    database = connect(database_url)
    began = datetime(2026, 3, 1, hour, tzinfo=UTC)
    times = range(STREAM_MS, STREAM_MS + 2000, 100)
    with writing(database) as session:
        job = add_stream(session, name, "rtsp://camera/1", None, StreamOptions())
        medium = Media(
            job_id=job.id, position=1, uri="rtsp://camera/1", kind="stream", started_at=began, width=640, height=360
        )
        session.add(medium)
        session.flush()
        shard_id = shard_of(session, job.id)
        for n, time_ms in enumerate(times):
            for table, row in (
                (Frame, frame(medium.id, n, time_ms, 1)),
                (Face, face(medium.id, n, time_ms, track_id=0, surprise=1.0)),
            ):
                session.execute(insert(table), row | {"shard_id": shard_id})
    database.dispose()
    return job.id
