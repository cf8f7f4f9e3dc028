"""How stable labels are under what a camera and a codec do, by group of people: no emotion labels are needed."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from fer_model.analysis.ensemble import combine
from fer_model.training.measurement.reports import member_outputs, mirrored

Faces = NDArray[np.uint8]
"""(N, 48, 48) grey, 0..255."""


def blurred(faces: Faces) -> Faces:
    """Gaussian blur of one pixel."""
    return np.stack([cv2.GaussianBlur(face, (0, 0), 1.0) for face in faces]).astype(np.uint8)


def darkened(faces: Faces) -> Faces:
    """Six tenths of the light."""
    return (faces * 0.6).astype(np.uint8)


def brightened(faces: Faces) -> Faces:
    """Three tenths more light, clipped at white."""
    return np.clip(faces * 1.3, 0, 255).astype(np.uint8)


def compressed(faces: Faces) -> Faces:
    """JPEG of quality 30."""
    encoded = (cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 30])[1] for face in faces)
    return np.stack([np.asarray(cv2.imdecode(each, cv2.IMREAD_GRAYSCALE), np.uint8) for each in encoded])


DISTURBANCES = {
    "mirror": mirrored, "blur": blurred, "dark": darkened, "bright": brightened, "jpeg": compressed,
}  # fmt: skip


def stability(
    members: Sequence[nn.Module], shares: Sequence[float], faces: Faces, groups: Sequence[str]
) -> Mapping[str, Mapping[str, float]]:
    """The share 0..1 of faces that keep their label, by disturbance and group; `all` is every face.

    `groups` has each face's group. Raises `WeightsError` if an output is not a number.
    """

    def labels(pictures: Faces) -> NDArray[np.intp]:
        return combine(member_outputs(members, pictures), shares).argmax(1)

    plain, group = labels(faces), np.array(groups)
    places = {"all": group == group, **{name: group == name for name in sorted(set(groups))}}
    kept = {name: labels(disturb(faces)) == plain for name, disturb in DISTURBANCES.items()}
    return {name: {who: float(same[where].mean()) for who, where in places.items()} for name, same in kept.items()}
