"""Detections that are added between two, where faces come, go or move far, or the picture is cut."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_model.analysis.interpolation import interpolator
from fer_model.analysis.refining import refiner, small
from fer_model.boxes import iou
from fer_model.engines.detection import Detections
from fer_model.types import Frame, Image

Scene = Callable[[int], Detections]
"""The faces of each frame."""


def picture(number: int, shade: int = 0) -> Image:
    """A picture that says which frame it is, in a corner that is not looked at."""
    image = np.full((54, 96, 3), shade, np.uint8)
    image[-1, -1] = (*divmod(number, 256), 0)
    return image


def box(x: float, score: float = 0.9) -> list[float]:
    return [x, 0, x + 20, 20, score]


def faces(*rows: list[float]) -> Detections:
    return np.array(rows, np.float32).reshape(-1, 5)


def run(
    scene: Scene, anchors: list[int], count: int, cuts: tuple[int, ...] = (), batch: int = 1
) -> tuple[list[Detections], list[int]]:
    """The faces of each frame, and the frames given to the detector; `batch` anchors at a time."""
    looked: list[int] = []

    def detect(images: list[Image]) -> list[Detections]:
        numbers = [int(image[-1, -1, 0]) * 256 + int(image[-1, -1, 1]) for image in images]
        looked.extend(numbers)
        return [scene(number) for number in numbers]

    shades = [128 * (sum(cut <= number for cut in cuts) % 2) for number in range(count)]
    frames = [
        (Frame(number, 40 * number, picture(number, shades[number])), number in anchors) for number in range(count)
    ]
    refine, fill, found = refiner(), interpolator(), list[Detections]()
    starts = [0, *(anchor + 1 for anchor in anchors[batch - 1 :: batch])]
    for begin, end in pairwise([*starts, *([count] if starts[-1] != count else [])]):
        part = frames[begin:end]
        first = detect([frame.image for frame, is_detected in part if is_detected])
        found += fill(*refine(part, first, detect))
    return found, sorted(looked)


def test_a_face_that_stays_is_looked_for_at_the_anchors_alone() -> None:
    found, looked = run(lambda number: faces(box(number / 2)), [0, 8, 16], 17)
    assert looked == [0, 8, 16]
    assert [len(each) for each in found] == [1] * 17


@pytest.mark.parametrize("birth", range(1, 17))
def test_a_face_that_comes_is_found_from_its_first_frame(birth: int) -> None:
    found, looked = run(lambda number: faces(*[box(0)] * (number >= birth)), [0, 16], 17)
    assert [len(each) for each in found] == [0] * birth + [1] * (17 - birth)
    assert len(looked) <= 2 + 4, "the logarithm of the distance"


def test_of_two_people_in_turn_at_the_same_place_none_is_drawn_out() -> None:
    def scene(number: int) -> Detections:
        return faces(box(0)) if number < 5 else faces() if number < 11 else faces(box(3))

    found, looked = run(scene, [0, 16], 17, cuts=(5, 11))
    assert [len(each) for each in found] == [1] * 5 + [0] * 6 + [1] * 6
    assert {4, 5, 10, 11} <= set(looked), "both sides of a cut"


def test_a_face_that_moves_far_is_looked_for_in_between() -> None:
    found, looked = run(lambda number: faces(box(number)), [0, 8], 9)
    assert all(iou(found[number], faces(box(number)))[0, 0] > 0.99 for number in range(9))
    assert looked == [0, 4, 8]


@settings(deadline=None)
@given(
    st.lists(st.booleans(), min_size=20, max_size=60),
    st.sets(st.integers(1, 58)),
    st.integers(1, 4),
    st.integers(1, 50),
)
def test_what_lies_between_two_anchors_depends_on_nothing_else(
    there: list[bool], more: set[int], batch: int, cut: int
) -> None:
    """However many anchors a batch has, and wherever a video is cut at one of them."""

    def scene(number: int) -> Detections:
        return faces(*[box(number % 7)] * there[number])

    count = len(there)
    anchors = sorted({0, count - 1} | {each for each in more if each < count})
    whole, looked = run(scene, anchors, count)
    assert set(anchors) <= set(looked) and len(looked) == len(set(looked))
    batched, same = run(scene, anchors, count, batch=batch)
    assert same == looked and all(np.array_equal(one, other) for one, other in zip(whole, batched, strict=True))
    first = anchors[cut % len(anchors)]
    rest, _ = run(
        lambda number: scene(number + first), [each - first for each in anchors if each >= first], count - first
    )
    assert all(np.array_equal(one, other) for one, other in zip(whole[first:], rest, strict=True))


def test_small_pictures_are_of_one_size() -> None:
    assert small(picture(1)).shape == small(np.zeros((5, 4, 3), np.uint8)).shape == (27, 48)
