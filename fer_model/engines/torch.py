"""The networks on torch: half precision on a GPU, float32 as the reference on a CPU."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer_model.engines.memory import halving
from fer_model.manifest import Models
from fer_model.networks import load_classifier, load_detector, raw_detector
from fer_model.preprocess import normalise
from fer_model.types import Image

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchEngine:
    """See `Engine`."""

    def __init__(self, models: Models, device: str, half: bool) -> None:
        import torch

        self.description = f"torch {torch.__version__} on {device}, {'half' if half else 'single'} precision"
        self._device = device
        self._type = torch.float16 if half else torch.float32
        self._detector = self._place(raw_detector(load_detector(models.detector.path)))
        self._detect_in_parts, self._classify_in_parts = halving(self._detect), halving(self._classify)
        self._members = [self._place(load_classifier(m.path)) for m in models.members]

    def _place(self, network: "nn.Module") -> "nn.Module":
        return network.eval().to(self._device, self._type)

    def detect(self, pictures: Sequence[Image]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        results: list[Any] = [None] * len(pictures)
        for shape in dict.fromkeys(picture.shape for picture in pictures):
            rows = [row for row, picture in enumerate(pictures) if picture.shape == shape]
            found = self._detect_in_parts([pictures[row] for row in rows])
            for row, pair in zip(rows, chain.from_iterable(found), strict=True):
                results[row] = pair
        return results

    def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(self._classify_in_parts(faces), axis=1)

    def _detect(self, pictures: Sequence[Image]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """As `detect`, for pictures of one shape."""
        import torch

        with torch.inference_mode():
            batch = self._to_device(np.stack(pictures))
            distances, scores = self._detector(batch.permute(0, 3, 1, 2) / 255)
            return list(zip(_to_numpy(distances), _to_numpy(scores), strict=True))

    def _classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            batch = normalise(self._to_device(faces)[:, None])
            return np.stack([_to_numpy(member(batch).float().softmax(1)) for member in self._members])

    def _to_device(self, array: NDArray[np.uint8]) -> "Tensor":
        import torch

        return torch.from_numpy(array).to(self._device).to(self._type)


def _to_numpy(tensor: "Tensor") -> NDArray[np.float32]:
    # Half precision travels in half the time.
    return np.asarray(tensor.cpu().float().numpy())
