from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_model.rendering.palette import COLOURS, hex_colour
from fer_model.types import EMOTIONS

# Linear RGB as people without red, green or blue cones see it (Machado et al., 2009, severity 1).
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    value = np.array(colour) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def test_every_emotion_has_a_colour_in_the_order_of_the_emotions() -> None:
    assert tuple(COLOURS) == EMOTIONS


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colour_blind_people_can_tell_them_apart(blindness: str) -> None:
    seen = {
        name: (np.array(BLINDNESS[blindness]) @ linear(rgb)).clip(0, 1) ** (1 / 2.2) for name, rgb in COLOURS.items()
    }
    for first, second in combinations(EMOTIONS, 2):
        assert np.linalg.norm(seen[first] - seen[second]) > 0.08, f"{first} and {second}"


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_dark_text_on_them_and_they_on_black_are_readable(emotion: str) -> None:
    """A contrast of 3:1, as WCAG 2.1 requires for graphics and large text; (20, 20, 20) is the labels' colour."""
    luminance = float(linear(COLOURS[emotion]) @ (0.2126, 0.7152, 0.0722))
    assert (luminance + 0.05) / (float(linear((20, 20, 20))[0]) + 0.05) >= 3


def test_hexadecimal() -> None:
    assert hex_colour("angry") == "#d55e00"
    with pytest.raises(KeyError):
        hex_colour("bored")
