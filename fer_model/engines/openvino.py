"""The networks on OpenVINO, several requests at a time."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import AsyncInferQueue, CompiledModel, Core, InferRequest
from openvino import properties as ov

from fer_model.errors import FerModelError
from fer_model.manifest import Models
from fer_model.types import EMOTIONS, Image

logger = logging.getLogger(__name__)

GRAPH_VERSION = 1
"""To be raised when `convert` makes other graphs of the same weights; old caches are then left alone."""

CLASSIFIER_BATCHES = (16, 4, 1)
"""Static batch sizes: a fixed shape runs faster than a dynamic one, and three sizes waste little."""


class OpenVinoEngine:
    """See `Engine`. Networks are compiled for every shape of input that comes, when it comes."""

    def __init__(self, models: Models, cache: Path) -> None:
        graphs = converted(models, cache)
        self._core = Core()
        self._core.set_property({ov.cache_dir(): str(cache / "compiled")})
        self._detector = self._core.read_model(graphs / "detector.xml")
        self._detectors: dict[tuple[int, ...], deque[_Request]] = {}
        self._ensemble = self._core.read_model(graphs / "ensemble.xml")
        self._classifiers: dict[int, AsyncInferQueue] = {}
        self._members = len(models.members)
        precision = "8-bit detector, classifiers in" if models.detector.quantised else "in"
        self.description = f"OpenVINO {openvino.__version__.split('-')[0]} on cpu, {precision} single precision"

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

    def detect(self, pictures: Sequence[Image]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        # One after the other: the heads of a whole batch would be 20 MB of new memory.
        working: deque[_Request] = deque()
        try:
            for picture in pictures:
                free = self._free(picture.shape)
                while not free:
                    yield self._oldest(working)
                request = free.popleft()
                request.start(picture)
                working.append(request)
            while working:
                yield self._oldest(working)
        finally:
            for request in working:
                request.end()
                self._detectors[request.shape].append(request)

    def _oldest(self, working: "deque[_Request]") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the request gives that was started first, which is free then."""
        head = working[0].end()
        request = working.popleft()
        self._detectors[request.shape].append(request)
        return head

    def _free(self, shape: tuple[int, ...]) -> "deque[_Request]":
        """The requests for pictures of a shape that are not at work."""
        if shape not in self._detectors:
            network = self._compile(self._detector, [1, *shape])
            # One more than are worked on at once: the next lies ready when one ends.
            count = network.get_property(ov.optimal_number_of_infer_requests()) + 1
            self._detectors[shape] = deque(_Request(network, shape) for _ in range(count))
        return self._detectors[shape]

    def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = np.empty((self._members, len(faces), len(EMOTIONS)), np.float32)

        def keep(request: InferRequest, place: slice) -> None:
            answers[:, place] = request.get_output_tensor(0).data[:, : place.stop - place.start]

        busy = set()
        start = 0
        while start < len(faces):
            left = len(faces) - start
            # Three faces are quicker with an empty place beside them than alone.
            size = next(size for size in CLASSIFIER_BATCHES if left >= size - size // 4)
            place = slice(start, min(start + size, len(faces)))
            part = np.zeros((size, *faces.shape[1:]), np.uint8)
            part[: place.stop - start] = faces[place]
            if size not in busy:
                busy.add(size)
                self._classifier(size).set_callback(keep)
            self._classifier(size).start_async({0: part}, place)
            start = place.stop
        for size in busy:
            self._classifier(size).wait_all()
        return answers

    def _classifier(self, size: int) -> AsyncInferQueue:
        """For so many faces at once; compiled when they come, since each takes memory."""
        if size not in self._classifiers:
            self._classifiers[size] = AsyncInferQueue(self._compile(self._ensemble, [size, 48, 48]))
        return self._classifiers[size]


class _Request:
    """One picture at a time through the detector; writes into new memory, so that nothing has to be copied."""

    def __init__(self, network: CompiledModel, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._request: InferRequest = network.create_infer_request()
        self._sizes = [tuple(output.shape) for output in network.outputs]
        self._heads: list[NDArray[np.float32]] = []

    def start(self, picture: Image) -> None:
        # Held here, since the request works in its memory.
        self._picture = picture[None]
        self._request.set_input_tensor(openvino.Tensor(self._picture, shared_memory=True))
        self._heads = [np.empty(size, np.float32) for size in self._sizes]
        for number, head in enumerate(self._heads):
            self._request.set_output_tensor(number, openvino.Tensor(head, shared_memory=True))
        self._request.start_async()

    def end(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Waits; gives distances and scores."""
        self._request.wait()
        distances, scores = self._heads
        return distances[0], scores[0]


def converted(models: Models, cache: Path) -> Path:
    """The folder with the networks as OpenVINO graphs, made on first use in a process of its own.

    Conversion needs torch and Ultralytics, which would stay in a worker's memory.

    Raises:
        FerModelError: the conversion failed; holds its last line of output.
    """
    version = f"{openvino.__version__.split('-')[0]}-{GRAPH_VERSION}"
    detector = models.detector.quantised or models.detector
    key = f"{detector.sha256[:16]}-{models.ensemble_key[:16]}-{version}"
    folder = cache / key
    if not folder.exists():
        logger.info("preparing the networks for this processor, once; they are kept in %s", cache)
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
