"""Collects the rows of one shard."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from fer_model.types import EMOTIONS, FaceObservation, Frame
from results import shards
from results.leases import Claim

Row = dict[str, Any]


@dataclass
class ShardRows:
    """What a shard writes when it is done.

    `frames`, `faces` and `scores` are rows of `frames`, `faces` and `face_scores`; `media` are updates of the shard's
    pictures and `seam` are the boxes by which a segment's tracks are stitched to the next segment's (both as in
    `shards.complete`). `missing` are the positions of pictures that are not there.
    """

    ensemble_id: int | None = None
    frames: list[Row] = field(default_factory=list)
    faces: list[Row] = field(default_factory=list)
    scores: list[Row] = field(default_factory=list)
    media: list[Row] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    seam: list[list[float]] | None = None

    def counts(self) -> tuple[int, int]:
        """Frames and faces so far."""
        return len(self.frames), len(self.faces)

    def add(self, media_id: int, frame: Frame, faces: Sequence[FaceObservation]) -> None:
        """Adds a frame and its faces."""
        place = {"media_id": media_id, "frame_index": frame.index, "time_ms": frame.time_ms}
        self.frames.append({**place, "faces": len(faces)})
        self.faces += rows_of_faces(place, faces)
        self.scores += rows_of_scores(place, faces)

    def write(self, session: Session, claim: Claim) -> None:
        """Replaces the rows of earlier attempts and marks the shard done; raises as `shards.complete`."""
        shards.complete(
            session,
            claim,
            self.frames,
            self.faces,
            self.media,
            scores=self.scores,
            ensemble_id=self.ensemble_id,
            seam=self.seam,
        )
        shards.set_aside(session, claim, self.missing)


def rows_of_faces(place: Row, faces: Sequence[FaceObservation]) -> list[Row]:
    """Rows of `faces`; `place` has `media_id`, `frame_index` and `time_ms`."""
    return [{**place, "face_index": number, **_face(face)} for number, face in enumerate(faces)]


def rows_of_scores(place: Row, faces: Sequence[FaceObservation]) -> list[Row]:
    """Rows of `face_scores`, of the members that were kept; `place` as above."""
    key = {name: place[name] for name in ("media_id", "frame_index")}
    return [
        {**key, "face_index": number, "model_id": model_id, **dict(zip(EMOTIONS, scores, strict=True))}
        for number, face in enumerate(faces)
        for model_id, scores in face.members.items()
    ]


def _face(face: FaceObservation) -> Row:
    return {
        "track_id": face.track_id,
        **dict(zip(("x1", "y1", "x2", "y2"), face.box, strict=True)),
        "detection_score": face.detection_score,
        "emotion": face.emotion,
        "confidence": face.confidence,
        **dict(zip(EMOTIONS, face.probabilities, strict=True)),
        "quality": face.quality,
    }
