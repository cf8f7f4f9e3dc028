"""Where the networks run: OpenVINO on a CPU, torch in half precision on a GPU."""

import ctypes
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_model.engines.detection import Detections
from fer_model.errors import FerModelError
from fer_model.networks.manifest import ModelSet
from fer_model.telemetry import disable_openvino_telemetry
from fer_model.types import Image

# Every module that imports OpenVINO is in this package, so this runs before any of them.
disable_openvino_telemetry()


Finish = Callable[[], list[Detections]]
"""Waits for started pictures and gives the faces of each."""


class Engine(Protocol):
    """Runs the networks. Every method may be called by any number of threads at once.

    `description` is the display name: library, device and precision. `in_flight` starts (final after the first) of
    `at_once` pictures each saturate the device; callers should keep no more in flight, and no more than about
    `ahead_bytes` of pictures.
    """

    description: str
    at_once: int
    in_flight: int
    ahead_bytes: int

    def start(self, pictures: Sequence[Image], threshold: float) -> Finish:
        """Begins to detect faces that score at least `threshold` (0..1) in pictures of any shapes; does not wait.

        The function that it returns waits and gives the faces of each picture, in its pixels, in order. Call it exactly
        once, even if the faces are no longer wanted: it frees the device's buffers.
        """
        ...

    def crop(self, pictures: Sequence[Image], boxes: Sequence[Detections], margin: float) -> NDArray[np.uint8]:
        """As `crop_faces`; started pictures are still in the device's memory."""
        ...

    def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Each member's softmax output (members, N, 7) for (N, 48, 48) grey faces 0..255."""
        ...


def load_engine(models: ModelSet, device: str, cache: Path, latency: bool = False) -> Engine:
    """The engine for a device: `auto`, `cpu`, `cuda` or `cuda:N`.

    `auto` takes a GPU if there is one. `cache` is the folder of compiled networks, keyed by the weights' hash. With
    `latency` all processors work on one picture at a time, for a caller that waits for each picture; otherwise each
    works on another, which does more pictures a second.

    Raises:
        WeightsError: a file is missing or has another sha256 than the manifest.
        FerModelError: there is no such device, or a network could not be converted for it.
    """
    models.verify()
    device = actual_device(device)
    if device == "cpu":
        from fer_model.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(models, cache, latency)
    from fer_model.engines.torch import TorchEngine

    try:
        return TorchEngine(models, device, half=True)
    except (AssertionError, RuntimeError) as error:  # torch without CUDA, or a GPU that this torch does not support
        raise FerModelError(f"{device} cannot be used by this torch; use cpu ({error})") from error


def actual_device(device: str) -> str:
    """`cpu` or `cuda:N` for a device as a user names it; `auto` is the first GPU, if torch is installed, else the CPU.

    Raises:
        FerModelError: there is no such device, or a GPU but no torch.
    """
    gpus = gpu_count()
    if device == "auto":
        return "cuda:0" if gpus and has_torch() else "cpu"
    if device != "cpu" and not re.fullmatch(r"cuda(:\d+)?", device):
        raise FerModelError(f"{device!r} is not a device; use auto, cpu or cuda:0")
    if device != "cpu" and gpus <= int(device.partition(":")[2] or 0):
        raise FerModelError(f"{device} is not available: this machine has {gpus or 'no'} working NVIDIA GPU")
    if device != "cpu" and not has_torch():
        raise FerModelError(f"{device} needs torch, which is not installed: pip install 'fer-batch[gpu]'")
    return device


def has_torch() -> bool:
    """Whether torch is installed; does not import it."""
    return find_spec("torch") is not None


def gpu_count() -> int:
    """The number of usable NVIDIA GPUs, from the driver: importing torch takes seconds and hundreds of MB."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
