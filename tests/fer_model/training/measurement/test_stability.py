"""The share of faces that keep their label when disturbed, by group."""

import numpy as np
import torch
from torch import Tensor, nn

from fer_model.training.measurement.stability import DISTURBANCES, stability


class Side(nn.Module):
    """Says class 0 if the left half is the brighter one, else class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(9.0))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 7)."""
        brighter = images[..., :24].mean((1, 2, 3)) > images[..., 24:].mean((1, 2, 3))
        return torch.nn.functional.one_hot((~brighter).long(), 7).float() * self.scale


def test_a_label_that_depends_on_the_side_is_lost_in_the_mirror_alone() -> None:
    faces = np.zeros((30, 48, 48), np.uint8)
    faces[:, :, :24] = 100
    faces[20:] = 50  # the same on both sides: class 1 before and after
    figures = stability([Side()], [1.0], faces, ["a"] * 20 + ["b"] * 10)
    assert figures["mirror"] == {"all": 1 / 3, "a": 0.0, "b": 1.0}
    assert figures["dark"] == {"all": 1.0, "a": 1.0, "b": 1.0}


def test_each_disturbance_keeps_the_shape_and_changes_the_picture() -> None:
    faces = np.random.default_rng(0).integers(0, 255, (4, 48, 48)).astype(np.uint8)
    for name, disturb in DISTURBANCES.items():
        changed = disturb(faces)
        assert changed.shape == faces.shape and changed.dtype == np.uint8, name
        assert not np.array_equal(changed, faces), name
