"""Where one more detection is needed between two: `--detect-every auto`."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.analysis.interpolation import Batch, match_faces
from fer_model.boxes import iou
from fer_model.engines.detection import Detections
from fer_model.sources.sampling import Sampling
from fer_model.types import Image

ANCHORS = Sampling(fps=3)
"""The frames in which faces are always detected; the frames between two of them depend on no others."""

LEAST_OVERLAP = 0.5
"""The least IoU (0..1) of a face in two detected frames if it is to be interpolated between them."""

CUT = 25.0
"""The least mean difference (0..255) of two successive small grey pictures that is a cut or a flash."""

SMALL = (48, 27)

Detect = Callable[[list[Image]], list[Detections]]
Refine = Callable[[Batch, list[Detections], Detect], tuple[Batch, list[Detections]]]


def refiner() -> Refine:
    """A function that detects faces in more frames of a source's next batch, where interpolation might miss some.

    Of two detected frames between which faces are not safely interpolated (`is_safe`), the middle one is detected too,
    and so on in both halves: a face that comes or goes is found to the frame. The function takes a batch, the faces of
    its detected frames, and the detector, and returns the first two with the added frames. It remembers the last
    frame, so each source needs one of its own.
    """
    before: list[tuple[NDArray[np.uint8], Detections]] = []

    def refine(batch: Batch, detected: list[Detections], detect: Detect) -> tuple[Batch, list[Detections]]:
        images: list[Image | None] = [*(None for _ in before), *(frame.image for frame, _ in batch)]
        greys = [*(grey for grey, _ in before), *(small(frame.image) for frame, _ in batch)]
        known = [number for number, (_, is_detected) in enumerate(batch, len(before)) if is_detected]
        found = dict(enumerate(faces for _, faces in before)) | dict(zip(known, detected, strict=True))
        spans = list(pairwise(sorted(found)))
        while spans := [
            (first, last)
            for first, last in spans
            if last - first > 1 and not is_safe(found[first], found[last], greys[first : last + 1])
        ]:
            middles = [(first + last) // 2 for first, last in spans]
            pictures = [image for middle in middles if (image := images[middle]) is not None]
            found |= dict(zip(middles, detect(pictures), strict=True))
            spans = [
                half
                for (first, last), middle in zip(spans, middles, strict=True)
                for half in ((first, middle), (middle, last))
            ]
        skipped = len(before)
        before[:] = [(greys[-1], found[len(greys) - 1])]
        refined = [(frame, number in found) for number, (frame, _) in enumerate(batch, skipped)]
        return refined, [found[number] for number in sorted(found) if number >= skipped]

    return refine


def is_safe(first: Detections, last: Detections, greys: Sequence[NDArray[np.uint8]]) -> bool:
    """Whether the same faces are in both frames, have not moved far, and no cut lies between them."""
    if len(first) != len(last) or any(difference(*pair) >= CUT for pair in pairwise(greys)):
        return False
    before, after = match_faces(first, last)
    return len(before) == len(first) and bool((np.diag(iou(before, after)) >= LEAST_OVERLAP).all())


def small(image: Image) -> NDArray[np.uint8]:
    """A picture of `SMALL` size from single pixels of the green channel."""
    return cv2.resize(image[..., 1], SMALL, interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The mean absolute difference, 0..255."""
    return float(cv2.absdiff(one, other).mean())
