"""What a sample of a video costs to decode, beside all of its pictures: `python -m benchmarks.sampled VIDEO...`.

Prints, for each video, the best of two times in seconds and of the processor for `--fps 1`, with `--nearest`, and
for every frame, all without networks and on as many decoding threads as a job uses for it.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from fer_model.sources.sampling import Sampling
from fer_model.sources.video import read_video

TIMES = 2


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--fps", default=1.0, help="The sample's frames per second.")
def main(videos: Sequence[str], fps: float) -> None:
    """Measures and prints."""
    samplings = {
        f"{fps:g} a second": Sampling(fps=fps),
        "nearest": Sampling(fps=fps, nearest=True),
        "every frame": Sampling(),
    }
    for video in videos:
        for name, sampling in samplings.items():
            runs = [_read(video, sampling) for _ in range(TIMES)]
            frames, wall, busy = runs[0][0], min(run[1] for run in runs), min(run[2] for run in runs)
            row = f"{name:<14}{frames:>6} frames {wall:6.2f} s, {busy:6.2f} s of a processor"
            print(f"{Path(video).name:<24}{row}", flush=True)


def _read(video: str, sampling: Sampling) -> tuple[int, float, float]:
    began, busy = time.perf_counter(), time.process_time()
    frames = sum(1 for _ in read_video(video, sampling=sampling))
    return frames, time.perf_counter() - began, time.process_time() - busy


if __name__ == "__main__":
    main()
