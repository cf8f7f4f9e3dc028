"""The networks on torch: half precision on a GPU, float32 as the reference on a CPU.

Each picture is copied to the device once; pre- and postprocessing run there.
"""

import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_model.engines import Finish
from fer_model.engines.detection import Detections, faces_among, letterbox_shape, scaled, to_picture
from fer_model.engines.memory import halving
from fer_model.networks.loading import load_classifier, load_detector, raw_detector
from fer_model.networks.manifest import ModelSet
from fer_model.preprocess import FACE_SIZE, face_square, normalise
from fer_model.types import Image

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.cuda import Event


class _Launched(NamedTuple):
    """Pictures in flight on the device; the `boxes` (5, A) of each are on the host once `done` has occurred."""

    pictures: Sequence[Image]
    boxes: "list[Tensor]"
    done: "Event | None"


class TorchEngine:
    """See `Engine`."""

    at_once, in_flight = 16, 2
    ahead_bytes = 192 * 2**20

    def __init__(self, models: ModelSet, device: str, half: bool) -> None:
        import torch

        self.description = f"torch {torch.__version__} on {device}, {'half' if half else 'single'} precision"
        self._device = torch.device(device)
        self._type = torch.float16 if half else torch.float32
        self._detector = self._place(raw_detector(load_detector(models.detector.path)))
        self._members = [self._place(load_classifier(m.path)) for m in models.members]
        self._launch_in_parts, self._classify_in_parts = halving(self._launch), halving(self._classify)
        self._placed: dict[int, Tensor] = {}
        # Ultralytics' head caches the anchors of the last shape.
        self._launching = threading.Lock()

    def _place(self, network: "nn.Module") -> "nn.Module":
        return network.eval().to(self._device, self._type)

    def start(self, pictures: Sequence[Image], threshold: float) -> Finish:
        with self._launching:
            launched = self._launch_in_parts(pictures)
        return lambda: [faces for part in launched for faces in _faces(part, threshold)]

    def crop(self, pictures: Sequence[Image], boxes: Sequence[Detections], margin: float) -> NDArray[np.uint8]:
        import torch

        from fer_model.engines.tensors import cropped

        faces = [torch.zeros(0, FACE_SIZE, FACE_SIZE, dtype=torch.uint8, device=self._device)]
        with torch.inference_mode():
            for picture, found in zip(pictures, boxes, strict=True):
                if len(found):
                    squares = torch.tensor([face_square(box, margin) for box in found])
                    faces += halving(partial(cropped, self._on_device([picture])[0]))(squares)
            return np.asarray(torch.cat(faces).cpu().numpy())

    def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(self._classify_in_parts(faces), axis=1)

    def _launch(self, pictures: Sequence[Image]) -> _Launched:
        """Starts the detector on pictures of any shapes, one batch for each letterboxed shape."""
        import torch

        from fer_model.engines.tensors import boxes_of, letterboxed

        with torch.inference_mode():
            rows = _by_shape(pictures)
            placed = {shape: self._on_device([pictures[row] for row in of]) for shape, of in rows.items()}
            seen = {shape: letterboxed(batch, self._type) for shape, batch in placed.items()}
            boxes: list[Tensor] = [torch.empty(0)] * len(pictures)
            groups: defaultdict[tuple[int, int], list[tuple[int, ...]]] = defaultdict(list)
            for shape in rows:
                groups[letterbox_shape(*shape[:2])].append(shape)
            for boxed, shapes in groups.items():
                distances, scores = self._detector(torch.cat([seen[shape] for shape in shapes]))
                # The copy to the host is asynchronous too.
                found = boxes_of(distances, scores, boxed).to("cpu", non_blocking=True)
                for row, of in zip((row for shape in shapes for row in rows[shape]), found, strict=True):
                    boxes[row] = of
            return _Launched(pictures, boxes, self._mark())

    def _mark(self) -> "Event | None":
        """A CUDA event that marks the end of the work queued so far."""
        import torch

        if self._device.type != "cuda":
            return None
        done = torch.cuda.Event(blocking=True)
        done.record(torch.cuda.current_stream(self._device))
        return done

    def _on_device(self, pictures: Sequence[Image]) -> "Tensor":
        """Pictures of one shape (B, H, W, 3) on the device, kept there as long as the host arrays live."""
        import torch

        there = [self._placed[id(picture)] for picture in pictures if id(picture) in self._placed]
        if len(there) == len(pictures):
            return there[0][None] if len(there) == 1 else torch.stack(there)
        shape = (len(pictures), *pictures[0].shape)
        # From pinned memory the copy is asynchronous.
        host = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        np.stack(pictures, out=host.numpy())
        batch = host.to(self._device, non_blocking=True)
        for picture, tensor in zip(pictures, batch, strict=True):
            if id(picture) not in self._placed:
                self._placed[id(picture)] = tensor
                weakref.finalize(picture, self._placed.pop, id(picture), None)
        return batch

    def _classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            batch = normalise(torch.from_numpy(faces).to(self._device).to(self._type)[:, None])
            answers = [member(batch).float().softmax(1) for member in self._members]
            return np.asarray(torch.stack(answers).cpu().numpy())


def _faces(launched: _Launched, threshold: float) -> Iterator[Detections]:
    if launched.done is not None:
        launched.done.synchronize()
    for picture, boxes in zip(launched.pictures, launched.boxes, strict=True):
        height, width = picture.shape[:2]
        yield to_picture(faces_among(boxes.numpy(), threshold), scaled(height, width)[2], width, height)


def _by_shape(pictures: Sequence[Image]) -> dict[tuple[int, ...], list[int]]:
    """The indices of the pictures of each shape."""
    rows: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, picture in enumerate(pictures):
        rows[picture.shape].append(row)
    return dict(rows)
