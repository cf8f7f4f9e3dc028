"""The networks on OpenVINO, several requests at a time."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import AsyncInferQueue, CompiledModel, Core
from openvino import properties as ov

from fer_model.errors import FerModelError
from fer_model.manifest import Models
from fer_model.types import EMOTIONS, Image

GRAPH_VERSION = 1
"""To be raised when `convert` makes other graphs of the same weights; old caches are then left alone."""

CLASSIFIER_BATCHES = (1, 8)
"""Static batch sizes: a fixed shape runs faster than a dynamic one, and two sizes waste little."""


class OpenVinoEngine:
    """See `Engine`. The detector is compiled once for every input shape that comes."""

    def __init__(self, models: Models, cache: Path) -> None:
        graphs = converted(models, cache)
        self._core = Core()
        self._core.set_property({ov.cache_dir(): str(cache / "compiled")})
        self._detector = self._core.read_model(graphs / "detector.xml")
        self._detectors: dict[tuple[int, ...], AsyncInferQueue] = {}
        ensemble = self._core.read_model(graphs / "ensemble.xml")
        self._classifiers = {n: self._compile(ensemble, [n, 48, 48]) for n in CLASSIFIER_BATCHES}
        self._members = len(models.members)
        self.description = f"OpenVINO {openvino.__version__.split('-')[0]} on cpu, single precision"

    def _compile(self, model: Any, shape: list[int]) -> CompiledModel:
        model = model.clone()
        model.reshape(shape)
        hints = {
            ov.hint.performance_mode(): ov.hint.PerformanceMode.THROUGHPUT,
            # On processors with bfloat16 the default would give up two decimals of the probabilities.
            ov.hint.inference_precision(): openvino.Type.f32,
            ov.inference_num_threads(): len(os.sched_getaffinity(0)),
        }
        return self._core.compile_model(model, "CPU", hints)

    def detect(self, pictures: Sequence[Image]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        results: list[Any] = [None] * len(pictures)

        def keep(request: Any, row: int) -> None:
            # The request's memory is used again for the next picture.
            results[row] = tuple(request.get_output_tensor(output).data[0].copy() for output in (0, 1))

        queues = {self._queue(picture.shape) for picture in pictures}
        for queue in queues:
            queue.set_callback(keep)
        for row, picture in enumerate(pictures):
            self._queue(picture.shape).start_async({0: picture[None]}, row)
        for queue in queues:
            queue.wait_all()
        return results

    def _queue(self, shape: tuple[int, ...]) -> AsyncInferQueue:
        if shape not in self._detectors:
            self._detectors[shape] = AsyncInferQueue(self._compile(self._detector, [1, *shape]))
        return self._detectors[shape]

    def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [np.zeros((self._members, 0, len(EMOTIONS)), np.float32)]
        while len(faces):
            size = CLASSIFIER_BATCHES[0] if len(faces) <= 2 else CLASSIFIER_BATCHES[-1]
            part, faces = faces[:size], faces[size:]
            padded = np.concatenate((part, np.zeros((size - len(part), 48, 48), np.uint8)))
            parts.append(self._classifiers[size](padded)[0][:, : len(part)].copy())
        return np.concatenate(parts, axis=1)


def converted(models: Models, cache: Path) -> Path:
    """The folder with the networks as OpenVINO graphs, made on first use in a process of its own.

    Conversion needs torch and Ultralytics, which would stay in a worker's memory.

    Raises:
        FerModelError: the conversion failed; holds its last line of output.
    """
    version = f"{openvino.__version__.split('-')[0]}-{GRAPH_VERSION}"
    key = f"{models.detector.sha256[:16]}-{models.ensemble_key[:16]}-{version}"
    folder = cache / key
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = tempfile.mkdtemp(dir=cache)
        # Workers of several users may share a cache.
        os.chmod(partial, 0o755)
        command = [sys.executable, "-P", "-m", "fer_model.engines.convert", models.as_json(), partial]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            shutil.rmtree(partial)
            last = (run.stderr.strip().splitlines() or ["no output"])[-1]
            raise FerModelError(f"the networks could not be converted for OpenVINO: {last}")
        try:
            os.rename(partial, folder)
        except OSError:
            # Another worker was faster; its folder holds the same.
            shutil.rmtree(partial)
    return folder
