"""One picture: its faces, drawn and as data."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from fer_model.analysis.analyser import Analyser, SourceState
from fer_model.networks.manifest import ModelSet
from fer_model.rendering.drawing import annotate
from fer_model.sources.images import decode_reduced, read_picture
from fer_model.types import EMOTIONS, FaceObservation, Frame, Image

LOWEST = 0.1
"""The detection threshold of the one pass through the networks; a higher one is applied to its faces."""

MOST_PIXELS = 50_000_000
"""The largest picture that the page takes: a decoded pixel needs 16 bytes, and several visitors share the memory."""

SHOWN_SIDE = 1280


@dataclass(frozen=True, slots=True)
class Analysed:
    """A picture that was analysed: `shown` is a smaller version as JPEG, `size` the original width and height."""

    name: str
    size: tuple[int, int]
    shown: bytes
    faces: tuple[FaceObservation, ...]

    def faces_from(self, threshold: float) -> list[FaceObservation]:
        """The faces that score at least `threshold`, from left to right, numbered from 1 in `track_id`."""
        kept = sorted((face for face in self.faces if face.detection_score >= threshold), key=lambda face: face.box[0])
        return [replace(face, track_id=number) for number, face in enumerate(kept, 1)]


def analysed(file: IO[bytes], name: str, analyser: Analyser) -> Analysed:
    """Reads and analyses a picture. Raises `UnreadableMediaError`, and what the engine raises."""
    picture, size = decode_reduced(file, name, MOST_PIXELS)
    faces = analyser.submit(Frame(0, 0, picture, size), SourceState(LOWEST)).result()
    return Analysed(name, size, encoded(_shrunk(picture), ".jpg"), tuple(faces))


def drawn(picture: Analysed, faces: Sequence[FaceObservation]) -> bytes:
    """The smaller version with boxes and numbers, as JPEG."""
    image = np.asarray(cv2.imdecode(np.frombuffer(picture.shown, np.uint8), cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    scale = image.shape[1] / picture.size[0]
    boxes = [replace(face, box=tuple(scale * edge for edge in face.box)) for face in faces]
    return encoded(annotate(image, boxes), ".jpg")


def drawn_whole(path: Path, faces: Sequence[FaceObservation]) -> bytes:
    """The original with boxes and numbers, as PNG. Raises `UnreadableMediaError`."""
    return encoded(annotate(read_picture(str(path)), faces), ".png")


def encoded(image: Image, suffix: str) -> bytes:
    """A picture as a file of the format with this suffix."""
    return cv2.imencode(suffix, image[..., ::-1])[1].tobytes()


def as_json(pictures: Iterable[tuple[Analysed, Sequence[FaceObservation]]], models: ModelSet) -> str:
    """The pictures with their faces and what each network gave."""
    return json.dumps(
        [
            {
                "picture": picture.name,
                "width": picture.size[0],
                "height": picture.size[1],
                "faces": [_face(face, models) for face in faces],
            }
            for picture, faces in pictures
        ],
        indent=2,
    )


def as_csv(pictures: Iterable[tuple[Analysed, Sequence[FaceObservation]]], models: ModelSet) -> str:
    """A row for each face, with the ensemble's probabilities and then those of each network."""
    text = io.StringIO()
    own = [f"{member.name}_{emotion}" for member in models.members for emotion in EMOTIONS]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "face", *_PLACE, "emotion", "confidence", *EMOTIONS, *own])
    for picture, faces in pictures:
        for face in faces:
            members = [value for member in models.members for value in face.members[member.id]]
            place = [*_rounded(face.box, 1), *_rounded((face.detection_score, face.quality, face.confidence), 4)]
            values = _rounded((*face.probabilities, *members), 4)
            writer.writerow([_unformulated(picture.name), face.track_id, *place[:6], face.emotion, place[6], *values])
    return text.getvalue()


_PLACE = ("x1", "y1", "x2", "y2", "detection_score", "quality")


def _face(face: FaceObservation, models: ModelSet) -> dict[str, Any]:
    shares = zip(models.members, models.shares, strict=True)
    return {
        "face": face.track_id,
        **dict(zip(_PLACE, _rounded((*face.box, face.detection_score, face.quality), 4), strict=True)),
        "emotion": face.emotion,
        "confidence": round(face.confidence, 4),
        "probabilities": _named(face.probabilities),
        "members": [
            {"model": member.name, "weight": share, "probabilities": _named(face.members[member.id])}
            for member, share in shares
        ],
    }


def _named(probabilities: Sequence[float]) -> dict[str, float]:
    return dict(zip(EMOTIONS, _rounded(probabilities, 4), strict=True))


def _rounded(values: Iterable[float], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]


def _unformulated(name: str) -> str:
    # A spreadsheet would evaluate it.
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name


def _shrunk(picture: Image) -> Image:
    scale = SHOWN_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
