"""The networks on OpenVINO, several requests at a time."""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import AsyncInferQueue, CompiledModel, Core, InferRequest, Model
from openvino import opset13 as ops
from openvino import properties as ov

from fer_model.engines import Finish
from fer_model.engines.detection import (
    Detections,
    anchors,
    faces_among,
    letterbox,
    letterbox_shape,
    to_picture,
)
from fer_model.engines.graphs import graph_of, read_graph
from fer_model.networks.architectures import BINS
from fer_model.networks.manifest import ModelSet
from fer_model.preprocess import FACE_SIZE, crop_faces
from fer_model.types import EMOTIONS, Image

MANY, FEW = 16, 4
"""Batch sizes of the classifier: static shapes run faster than dynamic ones. Each takes 80 MB of memory."""

Shape = tuple[int, int]


class OpenVinoEngine:
    """See `Engine`. Networks are compiled for each input shape on its first use."""

    at_once = 1
    ahead_bytes = 48 * 2**20

    def __init__(self, models: ModelSet, cache: Path, latency: bool = False) -> None:
        self._mode = ov.hint.PerformanceMode.LATENCY if latency else ov.hint.PerformanceMode.THROUGHPUT
        # OpenVINO uses all processors from here on; OpenCV's threads would only compete with it.
        cv2.setNumThreads(1)
        self._core = Core()
        self._core.set_property({ov.cache_dir(): str(cache / "compiled")})
        self._detector = read_graph(self._core, graph_of(models.detector, "detector", cache))
        self._detectors: dict[Shape, tuple[CompiledModel, list[_Request]]] = {}
        self._ensemble = together([read_graph(self._core, graph_of(m, "classifier", cache)) for m in models.members])
        self._classifiers: dict[int, AsyncInferQueue] = {}
        self._members = len(models.members)
        self.in_flight = 1
        self._compiling, self._classifying = threading.Lock(), threading.Lock()
        precision = "8-bit detector, classifiers in" if _is_quantised(self._detector) else "in"
        self.description = f"OpenVINO {openvino.__version__.split('-')[0]} on cpu, {precision} single precision"

    def _compile(self, model: Model) -> CompiledModel:
        hints = {
            ov.hint.performance_mode(): self._mode,
            # On processors with bfloat16 the default would cost two decimals of the probabilities.
            ov.hint.inference_precision(): openvino.Type.f32,
            ov.inference_num_threads(): len(os.sched_getaffinity(0)),
        }
        return self._core.compile_model(model, "CPU", hints)

    def start(self, pictures: Sequence[Image], threshold: float) -> Finish:
        requests: list[_Request] = []
        try:
            for picture in pictures:
                requests.append(self._request(letterbox_shape(*picture.shape[:2])))
                requests[-1].start(picture)
        except BaseException:
            self._free(requests)
            raise
        return partial(self._finish, requests, threshold)

    def _finish(self, requests: "list[_Request]", threshold: float) -> list[Detections]:
        try:
            return [to_picture(faces_among(each.end(), threshold), each.scale, *each.size) for each in requests]
        finally:
            self._free(requests)

    def _free(self, requests: "list[_Request]") -> None:
        for request in requests:
            with suppress(Exception):  # raised already; after a failure the other requests may still run
                request.end()
            self._detectors[request.shape][1].append(request)

    def _request(self, shape: Shape) -> "_Request":
        """A request for letterboxed pictures of a shape: a free one, or a new one if all are in use."""
        network, free = self._detector_for(shape)
        try:
            return free.pop()
        except IndexError:
            return _Request(network, shape)

    def _detector_for(self, shape: Shape) -> "tuple[CompiledModel, list[_Request]]":
        with self._compiling:
            if shape not in self._detectors:
                network = self._compile(with_boxes(self._detector, shape))
                # Two more than run at once, so that the next ones are ready when one ends.
                self.in_flight = max(self.in_flight, network.get_property(ov.optimal_number_of_infer_requests()) + 2)
                self._detectors[shape] = network, []
            return self._detectors[shape]

    def crop(self, pictures: Sequence[Image], boxes: Sequence[Detections], margin: float) -> NDArray[np.uint8]:
        return crop_faces(pictures, boxes, margin)

    def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._classifying:
            return self._classify(faces)

    def _classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = np.empty((self._members, len(faces), len(EMOTIONS)), np.float32)

        def keep(request: InferRequest, place: slice) -> None:
            answers[:, place] = request.get_output_tensor(0).data[:, : place.stop - place.start]

        busy = set()
        start = 0
        while start < len(faces):
            left = len(faces) - start
            # Twelve faces run faster padded to one batch of sixteen than in three batches.
            size = MANY if left >= MANY - FEW else FEW
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
        """The classifier for one batch size; compiled on first use, since each takes memory."""
        if size not in self._classifiers:
            ensemble = self._ensemble.clone()
            ensemble.reshape([size, FACE_SIZE, FACE_SIZE])
            self._classifiers[size] = AsyncInferQueue(self._compile(ensemble))
        return self._classifiers[size]


class _Request:
    """An inference request of the detector, one picture at a time, in reused buffers."""

    def __init__(self, network: CompiledModel, shape: Shape) -> None:
        self.shape = shape
        self.size, self.scale = (0, 0), 1.0
        self._picture = np.empty((1, *shape, 3), np.uint8)
        self._boxes = np.empty(tuple(network.outputs[0].shape), np.float32)
        self._request: InferRequest = network.create_infer_request()
        self._request.set_input_tensor(openvino.Tensor(self._picture, shared_memory=True))
        self._request.set_output_tensor(openvino.Tensor(self._boxes, shared_memory=True))

    def start(self, picture: Image) -> None:
        self.size = (picture.shape[1], picture.shape[0])
        _, self.scale = letterbox(picture, self._picture[0])
        self._request.start_async()

    def end(self) -> NDArray[np.float32]:
        """Waits; gives the boxes of all anchors (5, A), valid until the next `start`."""
        self._request.wait()
        return self._boxes


def _is_quantised(graph: Model) -> bool:
    return any(node.get_type_name() == "FakeQuantize" for node in graph.get_ops())


def together(members: Sequence[Model]) -> Model:
    """One graph of the members' graphs, which share its input: (N, 48, 48) grey bytes to (members, N, 7)."""
    faces = ops.parameter([-1, FACE_SIZE, FACE_SIZE], np.uint8)
    answers = []
    for member in members:
        member.get_parameters()[0].output(0).replace(faces.output(0))
        answers.append(ops.unsqueeze(member.outputs[0].get_node().input_value(0), np.array(0)))
    return Model([ops.concat(answers, 0).output(0)], [faces])


def with_boxes(detector: Model, shape: Shape) -> Model:
    """The detector for one letterboxed picture of (height, width), with a box and a score for each anchor: (5, A).

    Distances to the four sides are the means of their distributions (see `BINS`).
    """
    detector = detector.clone()
    detector.reshape([1, *shape, 3])
    distances, scores = (output.get_node().input_value(0) for output in detector.outputs)
    centres, strides = anchors(shape)
    logits = ops.reshape(distances, np.array([4, BINS, len(strides)]), special_zero=False)
    bins = np.arange(BINS, dtype=np.float32)[None, :, None]
    sides = ops.reduce_sum(ops.multiply(ops.softmax(logits, 1), bins), np.array([1]))
    away = np.array([[-1], [-1], [1], [1]], np.float32) * strides
    corners = ops.add(ops.multiply(sides, away), np.tile(centres.T, (2, 1)))
    return Model([ops.concat([corners, scores], 0).output(0)], detector.get_parameters())
