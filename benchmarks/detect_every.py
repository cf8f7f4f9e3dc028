"""Recall and speed of `--detect-every N` and `auto`: `python -m benchmarks.detect_every CLIP...`.

For each clip and N, against N = 1: the share of faces found (same frame, IoU at least 0.5), the share of found faces
without a match in N = 1, the share of matched faces with the same emotion, frames per second, and seconds of processor
time (all threads) for 100 frames, which other programs disturb less.
"""

import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np

from fer_model.analysis.analyser import Analyser, SourceState
from fer_model.analysis.tracking import face_tracker
from fer_model.boxes import iou
from fer_model.engines import Engine, load_engine
from fer_model.networks.manifest import ModelSet, read_models
from fer_model.sources import open_source
from fer_model.types import FaceObservation
from workers.batch.planning import BatchOptions
from workers.diagnosis.kept import LEAST_OVERLAP
from workers.settings import Settings, writable_cache

STEPS: tuple[int | Literal["auto"], ...] = (1, 2, 3, 5, "auto")
THRESHOLD = 0.4

Faces = list[list[FaceObservation]]


def main(clips: list[Path]) -> None:
    models = read_models()
    settings = Settings()
    engine = load_engine(models, settings.device, writable_cache(settings.cache_dir))
    print(engine.description)
    found(clips[0], 1, engine, models)
    for clip in clips:
        truth, *_ = found(clip, 1, engine, models)
        for step in STEPS:
            faces, rate, busy = found(clip, step, engine, models)
            kept, invented, same = compare(truth, faces)
            print(
                f"{clip.name}, every {step}: {kept:.2%} of {sum(map(len, truth))} faces kept, {invented:.2%} invented, "
                f"{same:.2%} the same emotion, {rate:.1f} frames a second, {100 * busy:.1f} s of a processor per 100",
                flush=True,
            )


def found(clip: Path, step: int | Literal["auto"], engine: Engine, models: ModelSet) -> tuple[Faces, float, float]:
    """The faces of each frame, frames per second, and seconds of processor time per frame."""
    began, busy = time.perf_counter(), time.process_time()
    frames, options = open_source(str(clip), kind="video"), BatchOptions(detect_every=step)
    source = SourceState(THRESHOLD, face_tracker(25))
    seen = Analyser(engine, models).frames(frames, source, options.detected, refine=step == "auto")
    faces = [faces for _, faces in seen]
    return faces, len(faces) / (time.perf_counter() - began), (time.process_time() - busy) / len(faces)


def compare(truth: Faces, faces: Faces) -> tuple[float, float, float]:
    """Shares 0..1: true faces that were found, found faces that match none, matched pairs with the same emotion."""
    hits = agreed = 0
    for expected, seen in zip(truth, faces, strict=True):
        if expected and seen:
            shared = iou(*(np.array([face.box for face in each], np.float32) for each in (expected, seen)))
            pairs = [(row, int(shared[row].argmax())) for row in range(len(expected))]
            pairs = [pair for pair in pairs if shared[pair] >= LEAST_OVERLAP]
            hits += len(pairs)
            agreed += sum(expected[row].emotion == seen[column].emotion for row, column in pairs)
    count, own = sum(map(len, truth)), sum(map(len, faces))
    return hits / max(1, count), 1 - hits / max(1, own), agreed / max(1, hits)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
