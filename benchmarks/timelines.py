"""Timelines over ten million faces on PostgreSQL: `python -m benchmarks.timelines [--faces N]`.

Starts a temporary PostgreSQL server with default settings and a job of 100 videos with generated faces (25 frames per
second, two people in each, new tracks every minute), and times each query from the statement to the last row. Ten
million faces take about 4 GB of disk while it runs.
"""

import argparse
import os
import time
from pathlib import Path

from sqlalchemy import Engine as Database
from sqlalchemy import text

from results.database import connect, reading, upgrade, writing
from results.emotions import EMOTIONS
from results.jobs import create_job
from results.plans import MediaPlan, ShardPlan, add_plan
from results.read.choosing import jobs_with_faces, media_named
from results.read.face_filter import FaceFilter
from results.read.overview import overview
from results.read.sections import boxes, section
from results.read.timelines import By, timeline
from tests.support.cluster import postgresql

VIDEOS, PEOPLE, FPS = 100, 2, 25
RUNS = 2

FRAMES = """
INSERT INTO frames (media_id, frame_index, shard_id, time_ms, faces)
SELECT media.id, n, shards.id, n * 40, :people
FROM media JOIN shards ON shards.media_id = media.id CROSS JOIN generate_series(0, :frames - 1) AS n
WHERE media.job_id = :job ORDER BY 1, 2
"""

DRIFTING = ", ".join(
    f"1.1 + sin(frame_index / 500.0 + {n} * (who + 1)) + random() AS {name}" for n, name in enumerate(EMOTIONS)
)
SHARES = [f"{name} / total" for name in EMOTIONS]

# Each person's probabilities drift slowly with noise from frame to frame; they sum to 1.
FACES = f"""
INSERT INTO faces (media_id, frame_index, face_index, shard_id, time_ms, track_id, x1, y1, x2, y2, detection_score,
                   emotion, confidence, {", ".join(EMOTIONS)}, quality)
SELECT media_id, frame_index, who, shard_id, time_ms, time_ms / 60000 * :people + who, 10, 10, 90, 90, 0.9,
       'happy', GREATEST({", ".join(SHARES)}), {", ".join(SHARES)}, random()
FROM (
    SELECT *, {" + ".join(EMOTIONS)} AS total FROM (
        SELECT frames.*, who, {DRIFTING}
        FROM frames CROSS JOIN generate_series(0, :people - 1) AS who
    ) AS drawn ORDER BY media_id, frame_index, who
) AS weighed
"""

COUNTS = "UPDATE shards SET frames = :frames, faces = :frames * :people WHERE job_id = :job"


def fill(database: Database, faces: int) -> str:
    """Writes a job with `faces` faces; returns its id."""
    frames = faces // VIDEOS // PEOPLE
    media = [MediaPlan(f"/srv/{n:03d}.mp4", "video", fps=FPS, duration_ms=frames * 40) for n in range(VIDEOS)]
    shards = [ShardPlan(n, n, frames, video=True, start_ms=0) for n in range(VIDEOS)]
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name="generated", options={})
        add_plan(session, job.id, media, shards)
        for statement in (FRAMES, FACES, COUNTS):
            session.execute(text(statement), {"job": job.id, "people": PEOPLE, "frames": frames})
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE faces"))
        connection.execute(text("VACUUM ANALYZE frames"))
    return job.id


def measure(
    database: Database, job_id: str, bucket_ms: int, by: By, face_filter: FaceFilter, media_id: int | None
) -> tuple[int, float, float]:
    """The number of rows, and the best run's seconds of wall time and of the server's processor time."""
    runs = []
    rows = 0
    for _ in range(RUNS):
        with reading(database) as session:
            server = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
            began, used = time.perf_counter(), busy_s(server)
            found = timeline(session, job_id, bucket_ms=bucket_ms, by=by, face_filter=face_filter, media_id=media_id)
            rows = sum(1 for _ in found)
            runs.append((time.perf_counter() - began, busy_s(server) - used))
    return rows, min(seconds for seconds, _ in runs), min(used for _, used in runs)


def measure_page(database: Database, job_id: str) -> float:
    """The best run's seconds for what the page Timeline reads when it opens one video."""
    runs = []
    for _ in range(RUNS):
        with reading(database) as session:
            began = time.perf_counter()
            jobs_with_faces(session)
            medium = media_named(session, job_id)[VIDEOS // 2]
            length_ms = medium.duration_ms or 0
            overview(session, medium.id, 0, length_ms)
            section(session, medium.id, 0, length_ms)
            boxes(session, medium.id, 0, 10_000)
            runs.append(time.perf_counter() - began)
    return min(runs)


def busy_s(process: int) -> float:
    """Processor seconds of a process of this machine, which other load does not affect."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


QUESTIONS: tuple[tuple[int, By, FaceFilter, int | None], ...] = (
    (60_000, "media", FaceFilter(), None),
    (1_000, "media", FaceFilter(), None),
    (60_000, "track", FaceFilter(), None),
    (60_000, "job", FaceFilter(), None),
    (60_000, "media", FaceFilter(min_quality=0.5), None),
    (60_000, "track", FaceFilter(smooth_s=1.0), None),
    (1_000, "media", FaceFilter(), VIDEOS // 2),
    (1_000, "track", FaceFilter(smooth_s=1.0), VIDEOS // 2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=10_000_000)
    arguments = parser.parse_args()
    with postgresql() as url:
        upgrade(url)
        database = connect(url)
        began = time.perf_counter()
        job_id = fill(database, arguments.faces)
        print(f"{arguments.faces:,} faces generated in {time.perf_counter() - began:.0f} s")
        for bucket_ms, by, face_filter, media_id in QUESTIONS:
            rows, seconds, used = measure(database, job_id, bucket_ms, by, face_filter, media_id)
            which = f"by {by}, " + ("all videos" if media_id is None else "one video")
            timing = f"{seconds:7.2f} s, {used:6.2f} s of a processor"
            print(f"{bucket_ms // 1000:>3} s {which:<20} {face_filter}: {rows:>7,} rows {timing}", flush=True)
        print(f"the page Timeline, one video: {measure_page(database, job_id):.2f} s")
        database.dispose()


if __name__ == "__main__":
    main()
