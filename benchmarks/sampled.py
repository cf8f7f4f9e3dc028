"""What a sample of a video costs to decode, beside all of its pictures: `python -m benchmarks.sampled VIDEO...`.

Prints, for each video, the best of three times in seconds and of the processor for `--fps 1` and for every frame, both
without networks, on one decoding thread and on as many as there are processors.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import click

from fer_model.sources.sampling import Sampling
from fer_model.sources.video import read_video

TIMES = 3


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--fps", default=1.0, help="The sample's frames per second.")
def main(videos: Sequence[str], fps: float) -> None:
    """Measures and prints."""
    for video in videos:
        for threads in sorted({1, len(os.sched_getaffinity(0))}):
            for name, sampling in ((f"{fps:g} a second", Sampling(fps=fps)), ("every frame", Sampling())):
                runs = [_read(video, sampling, threads) for _ in range(TIMES)]
                frames, wall, busy = runs[0][0], min(run[1] for run in runs), min(run[2] for run in runs)
                row = f"{name:<14}{frames:>6} frames {wall:6.2f} s, {busy:6.2f} s of a processor"
                print(f"{Path(video).name:<24}{threads} threads  {row}", flush=True)


def _read(video: str, sampling: Sampling, threads: int) -> tuple[int, float, float]:
    began, busy = time.perf_counter(), time.process_time()
    frames = sum(1 for _ in read_video(video, sampling=sampling, threads=threads))
    return frames, time.perf_counter() - began, time.process_time() - busy


if __name__ == "__main__":
    main()
