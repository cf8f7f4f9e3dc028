"""Records the metrics of a pool process for Prometheus. Nothing is imported or written before `begin`.

The processes of the pool write their metrics into files (prometheus_client's multiprocess mode), and the worker's
main process serves the sums (`serving`). Files are named by a process's slot in the pool, not by its pid: the
successor of a dead process continues its files, so that totals never fall and files do not accumulate.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

Outcome = Literal["done", "failed", "given_back", "lost", "cancelled", "died"]

SECONDS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
FRAMES = (1, 2, 4, 8, 12, 16, 24, 32)


@dataclass(frozen=True)
class _Series:
    frames: "Counter"
    faces: "Counter"
    shards: "Counter"
    seconds: "Histogram"
    batch: "Histogram"
    gpu: "Gauge"
    absent: "Gauge"


_series: _Series | None = None
"""The series of this process; None where no metrics are served."""


def frame_done(faces: int) -> None:
    """Counts a frame and its faces."""
    if series := _series:
        series.frames.inc()
        series.faces.inc(faces)


def batch_done(frames: int) -> None:
    """Observes the size of a detector batch."""
    if series := _series:
        series.batch.observe(frames)
        gpu_memory()


def shard_ended(outcome: Outcome, seconds: float) -> None:
    """Counts a shard that this process has ended, and its time."""
    if series := _series:
        series.shards.labels(outcome).inc()
        series.seconds.observe(seconds)


def shard_died() -> None:
    """Counts a shard whose process was killed; the main process calls it."""
    if series := _series:
        series.shards.labels("died").inc()


def absent(is_absent: bool) -> None:
    """Records whether the worker has taken itself out; the main process calls it."""
    if series := _series:
        series.absent.set(int(is_absent))


def gpu_memory() -> None:
    """Records the memory of each GPU that this process uses; reads it from torch, and only if torch is loaded."""
    # While another thread imports torch, it is there without its parts.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    series = _series
    if series is None or cuda is None or not cuda.is_initialized():
        return
    for device in range(cuda.device_count()):
        # `mem_get_info` would allocate a context on a GPU that this process does not use.
        if reserved := cuda.memory_reserved(device):
            free, total = cuda.mem_get_info(device)
            for kind, size in (("worker", reserved), ("used", total - free), ("total", total)):
                series.gpu.labels(f"cuda:{device}", kind).set(size)


def begin(place: str) -> None:
    """Starts recording in this process.

    `place` is its slot in the pool, unique among live processes; `main` for the worker's main process.
    """
    global _series
    if _series is not None:
        return
    import prometheus_client.values
    from prometheus_client import Counter, Gauge, Histogram
    from prometheus_client.multiprocess import mark_process_dead

    # The predecessor's GPU memory is free; its totals stay.
    mark_process_dead(place)
    prometheus_client.values.ValueClass = prometheus_client.values.MultiProcessValue(lambda: place)
    _series = _Series(
        frames=Counter("fer_frames", "Frames whose faces were found."),
        faces=Counter("fer_faces", "Faces found in them."),
        shards=Counter("fer_shards", "Shards that a worker has ended its work on, by outcome.", ["outcome"]),
        seconds=Histogram("fer_shard_seconds", "Time spent on a shard, whatever its outcome.", buckets=SECONDS),
        batch=Histogram("fer_batch_frames", "Frames of a batch, those that the detector saw.", buckets=FRAMES),
        absent=Gauge(
            "fer_worker_absent", "1 while files are missing on the worker's host.", multiprocess_mode="livemax"
        ),
        gpu=Gauge("fer_gpu_memory_bytes", "GPU memory.", ["device", "kind"], multiprocess_mode="livemax"),
    )
    # Totals exist from 0 on: Prometheus would miss the first increase of a series that begins with it.
    for outcome in get_args(Outcome):
        _series.shards.labels(outcome)
