import cv2
import numpy as np
import pytest

from fer_model.rendering.drawing import annotate
from fer_model.rendering.palette import COLOURS
from fer_model.types import EMOTIONS, FaceObservation, Image

GREY = np.full((240, 320, 3), 60, np.uint8)


def face(box: tuple[float, float, float, float], emotion: str = "happy", track: int | None = 3) -> FaceObservation:
    probabilities = tuple(0.7 if name == emotion else 0.05 for name in EMOTIONS)
    return FaceObservation(box, 0.9, probabilities, 0.8, track)


def painted(picture: Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Smallest x, y and largest x, y of the pixels of a colour."""
    y, x = np.nonzero((picture == colour).all(axis=2))
    return int(x.min()), int(y.min()), int(x.max()), int(y.max())


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_draws_the_box_in_the_colour_of_the_emotion(emotion: str) -> None:
    picture = annotate(GREY, [face((100, 100, 180, 190), emotion)])
    for x, y in ((100, 145), (180, 145), (140, 190)):
        assert tuple(picture[y, x]) == COLOURS[emotion]
    assert tuple(picture[145, 140]) == (60, 60, 60), "the face itself stays visible"


def test_the_input_stays_untouched() -> None:
    before = GREY.copy()
    assert annotate(GREY, [face((10, 10, 50, 50))]).shape == GREY.shape
    np.testing.assert_array_equal(GREY, before)


def test_without_faces_it_is_a_copy() -> None:
    picture = annotate(GREY, [])
    np.testing.assert_array_equal(picture, GREY)
    assert not np.shares_memory(picture, GREY)


def test_a_read_only_view_can_be_annotated() -> None:
    view = GREY[:, ::-1]
    view.flags.writeable = False
    assert (annotate(view, [face((10, 10, 50, 50))]) != view).any()


LABEL = "#3 happy 70%"


@pytest.mark.parametrize(
    "box",
    [(0, 0, 40, 40), (280, 0, 320, 40), (300, 200, 320, 240), (0, 200, 40, 240), (100, 100, 150, 150)],
    ids=["top left", "top right", "bottom right", "bottom left", "middle"],
)
def test_the_label_is_whole_inside_the_picture(box: tuple[float, float, float, float]) -> None:
    """Somewhere there is a painted rectangle as large as the text, which was not there without the label."""
    (width, height), baseline = cv2.getTextSize(LABEL, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    painted_over = (annotate(GREY, [face(box)]) != GREY).any(axis=2).astype(np.uint8)
    room = cv2.erode(
        painted_over, np.ones((height + baseline, width), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    assert room.any()


def test_a_face_without_track_has_a_shorter_label() -> None:
    with_track, without = (annotate(GREY, [face((150, 150, 160, 160), track=track)]) for track in (3, None))
    assert painted(without, COLOURS["happy"])[2] < painted(with_track, COLOURS["happy"])[2]
