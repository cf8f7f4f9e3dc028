"""The report of a large job in a browser: `python -m benchmarks.report [--videos N] [--keep FOLDER]`.

Generates a job of N videos of ten minutes each (one frame sampled every five seconds, two people in each, new tracks
every two minutes, one in fifty failed), writes its report, and opens it in headless Chromium, which reports the
loading time.
"""

import argparse
import math
import random
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database

from fer_model.rendering.palette import COLOURS, hex_colour
from results.closing import close_job
from results.database import connect, reading, upgrade, writing
from results.emotions import EMOTIONS
from results.jobs import create_job
from results.leases import claim
from results.plans import MediaPlan, ShardPlan, add_plan
from results.read.report.page import write_report
from results.shards import complete

FRAMES, STEP_S, PEOPLE = 120, 5, 2
RUNS = 3
CHROMIUM = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
MEASURE = """<script>addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
  const load = performance.getEntriesByType("navigation")[0].loadEventEnd;
  document.title = `loaded ${Math.round(load)} painted ${Math.round(performance.now())}`;
})))</script>"""


def fill(database: Database, videos: int) -> str:
    """Writes a finished job of `videos` videos; returns its id."""
    failed: dict[str, Any] = {"state": "failed", "error": "is truncated: the index at its end (moov) is missing"}
    media = [
        MediaPlan(f"/srv/{n:03d}.mp4", "video", duration_ms=FRAMES * STEP_S * 1000, **(failed if n % 50 == 7 else {}))
        for n in range(videos)
    ]
    whole = [n for n, medium in enumerate(media) if medium.state != "failed"]
    shards = [ShardPlan(n, n, FRAMES, video=True, start_ms=0) for n in whole]
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name="interviews", options={})
        add_plan(session, job.id, media, shards)
    for number, position in enumerate(whole, 1):
        with writing(database) as session:
            taken = claim(session, number, "benchmark")
            assert taken is not None
            key = {"media_id": position + 1}
            faces = [{**key, **face(position, n, who)} for n in range(FRAMES) for who in range(PEOPLE)]
            complete(session, taken, [{**key, **frame(n)} for n in range(FRAMES)], faces)
    with writing(database) as session:
        assert close_job(session, job.id)
    return job.id


def frame(n: int) -> dict[str, Any]:
    """A row of `frames`, without its keys."""
    return {"frame_index": n * 125, "time_ms": n * STEP_S * 1000, "faces": PEOPLE}


def face(video: int, n: int, who: int) -> dict[str, Any]:
    """A row of `faces`, without its keys: probabilities that drift slowly with noise."""
    weights = [
        math.exp(2 * math.sin(n / 12 + 2 * place * (who + 1) + video) + random.gauss(0, 0.5)) for place in range(7)
    ]
    scores = {name: weight / sum(weights) for name, weight in zip(EMOTIONS, weights, strict=True)}
    emotion = max(scores, key=lambda name: scores[name])
    box = {"x1": 10.0, "y1": 10.0, "x2": 90.0, "y2": 110.0, "detection_score": 0.9, "quality": random.random()}
    place = {
        "frame_index": n * 125,
        "time_ms": n * STEP_S * 1000,
        "face_index": who,
        "track_id": n // 24 * PEOPLE + who,
    }
    return place | box | scores | {"emotion": emotion, "confidence": scores[emotion]}


def opened(page: Path) -> tuple[int, int]:
    """Milliseconds until a page's load event, and until its first paint."""
    measured = page.with_name("measured.html")
    measured.write_text(page.read_text().replace("</body>", MEASURE + "</body>"))
    with tempfile.TemporaryDirectory() as profile:
        command = [*CHROMIUM, f"--user-data-dir={profile}", "--window-size=1280,900", "--virtual-time-budget=20000"]
        run = subprocess.run([*command, "--dump-dom", measured.as_uri()], capture_output=True, text=True, check=True)
    found = re.search(r"loaded (\d+) painted (\d+)", run.stdout)
    assert found, run.stderr
    return int(found[1]), int(found[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="a folder in which database and page stay")
    arguments = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        url = f"sqlite:///{folder / 'report.db'}"
        upgrade(url)
        database = connect(url)
        job_id = fill(database, arguments.videos)
        page = folder / "report.html"
        began = time.perf_counter()
        with reading(database) as session, page.open("w") as file:
            write_report(session, job_id, file, palette={emotion: hex_colour(emotion) for emotion in COLOURS})
        seconds = time.perf_counter() - began
        print(f"{arguments.videos} videos: written in {seconds:.1f} s, {page.stat().st_size / 1e6:.1f} MB")
        for _ in range(RUNS):
            loaded, painted = opened(page)
            print(f"  loaded after {loaded} ms, painted after {painted} ms")
        database.dispose()


if __name__ == "__main__":
    main()
