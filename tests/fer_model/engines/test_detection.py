import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fer_model.boxes import iou
from fer_model.engines.detection import (
    IOU_THRESHOLD,
    Detections,
    faces_among,
    letterbox,
    letterbox_shape,
    to_picture,
)
from fer_model.engines.tensors import boxes_of
from tests.support.clips import noise_picture

BINS = 16


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [
        (1920, 1080, (384, 640)),
        (1080, 1920, (640, 384)),
        (640, 480, (512, 640)),
        (640, 640, (640, 640)),
        (320, 180, (384, 640)),
        (3000, 10, (128, 640)),
        (10, 3000, (640, 128)),
        (1, 1, (640, 640)),
        (641, 640, (640, 640)),
    ],
)
def test_letterbox_shapes(width: int, height: int, shape: tuple[int, int]) -> None:
    boxed, scale = letterbox(noise_picture(width, height))
    assert boxed.shape == (*shape, 3)
    assert boxed.dtype == np.uint8
    assert boxed.flags.c_contiguous
    assert scale == 640 / max(width, height)
    assert letterbox_shape(height, width) == shape


def test_letterbox_pads_right_and_below_and_changes_nothing_else() -> None:
    picture = noise_picture(640, 360)
    boxed, scale = letterbox(picture)
    assert scale == 1
    np.testing.assert_array_equal(boxed[:360], picture)
    assert (boxed[360:] == 114).all()


def test_letterbox_of_a_mirrored_view() -> None:
    picture = noise_picture(640, 384)[:, ::-1]
    np.testing.assert_array_equal(letterbox(picture)[0], picture)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1080, 1921), (320, 180), (640, 360), (3000, 10), (1, 1)])
def test_letterbox_in_memory_that_held_another_picture(width: int, height: int) -> None:
    picture = noise_picture(width, height)
    expected, _ = letterbox(picture)
    memory = np.full_like(expected, 7)
    given, _ = letterbox(picture, memory)
    assert given is memory
    np.testing.assert_array_equal(memory, expected)


def anchors(shape: tuple[int, int]) -> list[tuple[float, float, int]]:
    """Row by row, from the finest grid to the coarsest: centre x, y in pixels and stride."""
    return [
        ((x + 0.5) * stride, (y + 0.5) * stride, stride)
        for stride in (8, 16, 32)
        for y in range(shape[0] // stride)
        for x in range(shape[1] // stride)
    ]


def decode_slowly(
    distances: NDArray[np.float32], scores: NDArray[np.float32], shape: tuple[int, int], threshold: float
) -> list[list[float]]:
    """The published algorithm, one anchor and one side after the other, in double precision."""
    boxes: list[list[float]] = []
    for anchor, (x, y, stride) in enumerate(anchors(shape)):
        if scores[anchor] < threshold:
            continue
        sides = []
        for side in range(4):
            powers = [math.exp(distances[side * BINS + b, anchor]) for b in range(BINS)]
            sides.append(stride * sum(b * power for b, power in enumerate(powers)) / sum(powers))
        boxes.append([x - sides[0], y - sides[1], x + sides[2], y + sides[3], float(scores[anchor])])
    boxes.sort(key=lambda found: -found[4])
    kept: list[list[float]] = []
    for found in boxes:
        if all(slow_iou(found, other) <= IOU_THRESHOLD for other in kept):
            kept.append(found)
    return kept


def slow_iou(first: list[float], second: list[float]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)


def decode_boxes(
    distances: NDArray[np.float32], scores: NDArray[np.float32], shape: tuple[int, int], threshold: float
) -> Detections:
    """From the head of one picture to its faces, as the torch engine goes."""
    (boxes,) = boxes_of(torch.from_numpy(distances)[None], torch.from_numpy(scores)[None], shape).numpy()
    return faces_among(boxes, threshold)


@pytest.mark.parametrize("shape", [(128, 640), (384, 640), (640, 128)])
@pytest.mark.parametrize("seed", range(3))
def test_decoded_boxes_are_those_of_a_slow_reference(shape: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    count = len(anchors(shape))
    distances = random.normal(0, 3, (4 * BINS, count)).astype(np.float32)
    scores = random.permutation(np.linspace(0, 1, count, dtype=np.float32))
    expected = decode_slowly(distances, scores, shape, 0.9)
    found = decode_boxes(distances, scores, shape, 0.9)
    assert 10 < len(expected) < (scores >= 0.9).sum(), "the reference suppresses some and keeps some"
    np.testing.assert_allclose(found, np.array(expected), atol=1e-2)


def test_large_logits_do_not_overflow() -> None:
    distances = np.full((64, len(anchors((128, 128)))), 500, np.float32)
    scores = np.zeros(distances.shape[1], np.float32)
    scores[0] = 1
    found = decode_boxes(distances, scores, (128, 128), 0.5)
    np.testing.assert_allclose(found, [[4 - 60, 4 - 60, 4 + 60, 4 + 60, 1]])


def test_nothing_over_the_threshold_gives_no_boxes() -> None:
    count = len(anchors((128, 128)))
    found = decode_boxes(np.zeros((64, count), np.float32), np.full(count, 0.39, np.float32), (128, 128), 0.4)
    assert found.shape == (0, 5)


def test_a_score_at_the_threshold_counts() -> None:
    scores = np.zeros(len(anchors((128, 128))), np.float32)
    scores[7] = 0.4
    assert len(decode_boxes(np.zeros((64, scores.size), np.float32), scores, (128, 128), 0.4)) == 1


def test_boxes_that_remain_do_not_overlap_and_the_best_comes_first() -> None:
    random = np.random.default_rng(0)
    count = len(anchors((256, 256)))
    distances = random.normal(0, 1, (64, count)).astype(np.float32)
    found = decode_boxes(distances, random.random(count, np.float32), (256, 256), 0.2)
    shared = iou(found, found)
    np.fill_diagonal(shared, 0)
    assert shared.max() <= IOU_THRESHOLD + 1e-6
    assert (np.diff(found[:, 4]) <= 0).all()


def test_to_picture_scales_back_and_clips() -> None:
    found = np.array([[-5, -5, 10, 10, 0.9], [600, 300, 700, 400, 0.8], [5, 6, 7, 8, 0.7]], np.float32)
    there = to_picture(found, 0.5, 1280, 720)
    expected = [[0, 0, 20, 20, 0.9], [1200, 600, 1280, 720, 0.8], [10, 12, 14, 16, 0.7]]
    np.testing.assert_allclose(there, expected)
    assert found[0, 0] == -5, "the input stays"


def test_to_picture_drops_what_lies_in_the_padding() -> None:
    found = np.array([[10, 370, 50, 384, 0.9], [10, 10, 50, 50, 0.8]], np.float32)
    assert to_picture(found, 0.5, 1280, 720)[:, 4].tolist() == pytest.approx([0.8])
