"""A job whose rows are known, for the tests of commands that answer."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import Engine as Database
from sqlalchemy import update

from cli.main import main
from results.closing import close_job
from results.database import reading, writing
from results.jobs import list_jobs, utc_now
from results.plans import MediaPlan, ShardPlan
from results.shards import complete
from results.tables import Job
from tests.support.rows import face, frame, new_job, take

MEDIA = [
    MediaPlan("/srv/interview one.mp4", "video", width=64, height=48, fps=10.0, duration_ms=3000, frame_count=30),
    MediaPlan("/srv/face.jpg", "image", frame_count=1),
    MediaPlan("/srv/torn.mp4", "video", state="failed", error="/srv/torn.mp4: is not a video (unknown format)"),
    MediaPlan("/srv/second.mp4", "video", width=64, height=48, fps=10.0, duration_ms=1000, frame_count=10),
]


def answered(database: Database, *words: str) -> Result:
    """The output of a command on this database."""
    environment = {"FER_DATABASE_URL": database.url.render_as_string(hide_password=False)}
    return CliRunner().invoke(main, words, env=environment)


def add_job(database: Database, *, finished: bool = True, media: Sequence[MediaPlan] = MEDIA) -> str:
    """Two videos, a photograph and a file that failed; two people in the first video, one turning from happy to sad."""
    shards = [
        ShardPlan(0, 0, 30, video=True, start_ms=0),
        ShardPlan(3, 3, 10, video=True, start_ms=0),
        ShardPlan(1, 1, 1),
    ]
    with writing(database) as session:
        job_id = new_job(session, list(media), shards)
        complete(session, take(session, 1), *film(1, 30))
        if finished:
            complete(session, take(session, 2), *film(4, 10))
            photograph = face(2, 0, 0, surprise=0.6, happy=0.4)
            done = {"id": 2, "state": "done", "width": 64, "height": 48}
            complete(session, take(session, 3), [frame(2, 0, 0, 1)], [photograph], [done])
    if finished:
        with writing(database) as session:
            assert close_job(session, job_id)
    return job_id


def film(media_id: int, length: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    faces = []
    for n in range(length):
        happy = 0.9 if n < length / 2 else 0.1
        faces.append(face(media_id, n, n * 100, 0, track_id=0, happy=happy, sad=1 - happy))
        faces.append(face(media_id, n, n * 100, 1, track_id=1, neutral=0.7, angry=0.3) | {"x1": 40.0, "x2": 60.0})
    return [frame(media_id, n, n * 100, 2) for n in range(length)], faces


def aged(database: Database, job_id: str, **values: object) -> None:
    """Has the job end forty days ago, with other values of its row."""
    with writing(database) as session:
        ended = utc_now(session) - timedelta(days=40)
        session.execute(update(Job).where(Job.id == job_id).values(finished_at=ended, **values))


def left(database: Database) -> list[str]:
    """The ids of the jobs that are there."""
    with reading(database) as session:
        return [job.id for job in list_jobs(session)]
