"""Annotating against a plain transcode: `python -m benchmarks.annotate --db URL [--job JOB]`.

Each video of a job runs through the loop of PyAV's documentation (decode, encode with the same settings, copy
the sound), then annotated, then annotated with pixelated faces. Pictures per second, the best of three.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import av.video.stream
from sqlalchemy import select
from sqlalchemy.orm import Session

from fer_model.rendering.anonymise import How
from fer_model.rendering.transcode import ENCODER, transcode_video
from results.database import existing, reading
from results.jobs import get_job, newest_job, options_of
from results.read.face_filter import FaceFilter
from results.tables import Media
from workers.batch.annotating import coverage, drawing
from workers.batch.planning import BatchOptions

RUNS = 3
WAYS: tuple[tuple[str, How | None], ...] = (("annotated", None), ("pixelated", "pixelate"))


def plain(source: str, target: Path) -> None:
    """Decodes and encodes every picture, and copies the sound."""
    with av.open(source) as read, av.open(str(target), "w") as written:
        video = read.streams.video[0]
        video.thread_type = "AUTO"
        encoded = written.add_stream("libx264", rate=video.average_rate, options=ENCODER)
        assert isinstance(encoded, av.video.stream.VideoStream)
        encoded.width, encoded.height, encoded.pix_fmt = video.width, video.height, "yuv420p"
        copies = {stream.index: written.add_stream_from_template(stream) for stream in read.streams.audio}
        for packet in read.demux(video, *read.streams.audio):
            if packet.stream.index in copies:
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    written.mux(packet)
                continue
            for frame in video.decode(packet):
                # Renumbered: a phone's clip may have negative timestamps.
                frame.pts = None
                written.mux(encoded.encode(frame))
        written.mux(encoded.encode())


def best(work: Callable[[], object]) -> tuple[float, float]:
    """The minimum wall time and processor time of several runs, in seconds; other load does not affect the latter."""
    walls, busy = [], []
    for _ in range(RUNS):
        began, used = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - began)
        busy.append(time.process_time() - used)
    return min(walls), min(busy)


def rendered(session: Session, medium: Media, how: How | None, target: Path) -> None:
    """Annotates or anonymises a medium once, as `fer-batch annotate` does."""
    cover = coverage(session, medium, BatchOptions.of(options_of(session, medium.job_id)), ()) if how else None
    transcode_video(medium.uri, target, drawing(session, medium, FaceFilter(smooth_s=1.0), how, cover))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", required=True)
    parser.add_argument("--job")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, reading(existing(arguments.db)) as session:
        job = get_job(session, arguments.job) if arguments.job else newest_job(session)
        videos = select(Media).where(Media.job_id == job.id, Media.kind == "video", Media.state != "failed")
        for medium in session.scalars(videos.order_by(Media.position)).all():
            target = Path(folder) / "out"
            frames = medium.frame_count or 0
            wall, busy = best(lambda: plain(medium.uri, target.with_suffix(".mp4")))  # noqa: B023
            size = f"{medium.width}x{medium.height}, {frames} pictures"
            print(f"{Path(medium.uri).name} ({size}): plain {frames / wall:.0f} a second", flush=True)
            for name, how in WAYS:
                own, used = best(lambda: rendered(session, medium, how, target))  # noqa: B023
                share = f"{wall / own:.2f} of plain; by processor time {busy / used:.2f} of it"
                print(f"  {name} {frames / own:.0f} a second, {share}", flush=True)


if __name__ == "__main__":
    main()
