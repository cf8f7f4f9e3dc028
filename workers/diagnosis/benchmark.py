"""What `fer-batch bench` measures: each stage alone, the whole pipeline, and a naive loop for comparison."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.analysis.lookahead import detect
from fer_model.engines import Engine, actual_device, load_engine
from fer_model.engines.detection import letterbox
from fer_model.errors import FerModelError
from fer_model.extras import require
from fer_model.networks.manifest import ModelSet
from fer_model.preprocess import crop_face
from fer_model.sources import open_source
from fer_model.types import Frame, Image
from results.database import connect, upgrade, writing
from results.jobs import create_job
from results.plans import add_plan
from results.tables import Shard
from workers.batch.planning import BatchOptions, look_into
from workers.batch.processing import process_shard
from workers.diagnosis import synthetic
from workers.diagnosis.kept import boxes_of, faces_kept
from workers.models import store
from workers.settings import Settings, writable_cache

REPETITIONS = 3
DETECTED = 64
"""Number of pictures for the detector, and of faces for the classifiers, kept in memory."""

ROUNDS = 4
"""Passes over them in one repetition."""

WRITTEN = 10_000
"""Frames, and as many faces, that one repetition writes."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians; rates per second, see section `fer-batch bench` of the reference."""

    decode_fps: float
    detector_fps: float
    classifier_faces_per_s: float
    write_rows_per_s: float
    pipeline_fps: float
    auto_fps: float
    auto_faces_kept: float
    naive_fps: float
    device: str
    precision: str
    peak_rss_mb: float

    @property
    def speedup(self) -> float:
        """How many times faster than the naive loop."""
        return self.pipeline_fps / self.naive_fps

    @property
    def auto_speedup(self) -> float:
        """The same with `--detect-every auto`."""
        return self.auto_fps / self.naive_fps

    @property
    def efficiency(self) -> float:
        """The part of the slower of decoding alone and detecting alone, 0..1."""
        return self.pipeline_fps / min(self.decode_fps, self.detector_fps)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values |= {name: getattr(self, name) for name in ("speedup", "auto_speedup", "efficiency")}
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}


def measure(settings: Settings, clip: Path, on_stage: Callable[[str], None] = lambda name: None) -> Figures:
    """All figures, on the device of the settings, with the shipped models. Results go into a temporary database.

    Calls `on_stage` with the name of each stage before it is measured.

    Raises:
        UnreadableMediaError: the clip is not a readable video.
        FerModelError: the device or the models cannot be used, or the naive loop failed.
    """
    models, device = store.shipped(settings.models_dir), actual_device(settings.device)
    require("ultralytics", "The naive loop")
    look_into(str(clip), BatchOptions(), settings.permitted_roots)  # a wrong path fails before networks are prepared
    on_stage("preparing the networks")
    engine = load_engine(models, device, writable_cache(settings.cache_dir))
    # First: later stages raise the peak memory of this process.
    together = _together(settings, clip, engine, on_stage)
    alone = _alone(settings, clip, engine, on_stage)
    on_stage("the naive loop")
    naive = _naive(models, clip, device)
    precision = re.sub(r"^.* on [^,]+, ", "", engine.description)
    return Figures(**together, **alone, naive_fps=naive, device=device, precision=precision)


def _together(settings: Settings, clip: Path, engine: Engine, on_stage: Callable[[str], None]) -> dict[str, Any]:
    with _database() as database:
        on_stage("the whole pipeline")
        pipeline, full = _pipeline(database, settings, clip, engine)
        peak = peak_rss_mb()
        on_stage("the whole pipeline, detecting as faces move")
        auto, moving = _pipeline(database, settings, clip, engine, detect_every="auto")
        kept = faces_kept(boxes_of(database, full), boxes_of(database, moving))
        on_stage("writing rows")
        write = _rate(lambda: synthetic.write(database, WRITTEN))
    rates = {"pipeline_fps": pipeline, "auto_fps": auto, "write_rows_per_s": write}
    return {**rates, "auto_faces_kept": kept, "peak_rss_mb": peak}


def _alone(settings: Settings, clip: Path, engine: Engine, on_stage: Callable[[str], None]) -> dict[str, Any]:
    on_stage("decoding")
    decode = _rate(lambda: _decode(settings, clip))
    on_stage("detecting")
    frames = _first(settings, clip)
    pictures = [letterbox(frame.image)[0] for frame in frames]
    detector = _rate(lambda: _detect(engine, pictures, settings.detection_threshold))
    on_stage("classifying")
    faces = np.stack([_middle(frames[number % len(frames)].image) for number in range(DETECTED)])
    classifier = _rate(lambda: sum(engine.classify(faces).shape[1] for _ in range(ROUNDS)))
    return {"decode_fps": decode, "detector_fps": detector, "classifier_faces_per_s": classifier}


def _pipeline(database: Database, settings: Settings, clip: Path, engine: Engine, **options: Any) -> tuple[float, str]:
    """Frames per second, and the id of the last job."""
    jobs: list[str] = []

    def work() -> int:
        job_id, frames = work_through(database, settings, clip, engine, **options)
        jobs.append(job_id)
        return frames

    return _rate(work), jobs[-1]


def _rate(work: Callable[[], int]) -> float:
    """The median rate per second; `work` returns how much it has done."""
    work()
    rates = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - began))
    return median(rates)


@contextmanager
def _database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="fer-batch-bench-") as folder:
        url = f"sqlite:///{folder}/bench.db"
        upgrade(url)
        database = connect(url)
        try:
            yield database
        finally:
            database.dispose()


def work_through(
    database: Database, settings: Settings, clip: Path, engine: Engine, **options_given: Any
) -> tuple[str, int]:
    """A new job, from the claim of its first shard to the commit of its last: its id and its number of frames.

    `options_given` are further `BatchOptions`.
    """
    options = BatchOptions(detection_threshold=settings.detection_threshold, **options_given)
    medium, segments = look_into(str(clip), options, settings.permitted_roots)
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options=options.as_dict())
        add_plan(session, job.id, [medium], segments)
        ids = session.scalars(select(Shard.id).where(Shard.job_id == job.id).order_by(Shard.id)).all()
    for shard_id in ids:
        process_shard(database, settings, shard_id, "bench", lambda _: engine)
    with writing(database) as session:
        rows = session.execute(select(Shard.frames, Shard.state, Shard.error).where(Shard.id.in_(ids))).all()
    if failed := [error for _, state, error in rows if state != "done"]:
        raise FerModelError(f"{clip}: {failed[0]}")
    return job.id, sum(frames for frames, _, _ in rows)


def _decode(settings: Settings, clip: Path) -> int:
    return sum(1 for _ in open_source(str(clip), kind="video", roots=settings.permitted_roots))


def _first(settings: Settings, clip: Path) -> list[Frame]:
    frames = open_source(str(clip), kind="video", roots=settings.permitted_roots)
    return [frame for frame, _ in zip(frames, range(DETECTED), strict=False)]


def _detect(engine: Engine, pictures: list[Image], threshold: float) -> int:
    return sum(1 for _ in detect(pictures * ROUNDS, engine, threshold))


def _middle(image: Image) -> Any:
    height, width = image.shape[:2]
    half = min(height, width) / 4
    box = np.array([width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half], np.float32)
    return crop_face(image, box, 0.0)


def peak_rss_mb() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    # Not `ru_maxrss`: it includes the parent's memory at the fork.
    return int(status["VmHWM"].split()[0]) / 1024


def _naive(models: ModelSet, clip: Path, device: str) -> float:
    command = [sys.executable, "-P", "-m", "fer_model.analysis.naive", models.as_json(), str(clip), device]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["no output"])[-1]
        raise FerModelError(f"the naive loop failed: {last}")
    return median(float(rate) for rate in run.stdout.split()[-REPETITIONS:])
