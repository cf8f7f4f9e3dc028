"""Distillation: the probabilities that teachers, larger networks or several of them, give training faces."""

import hashlib
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_model.atomic import write_atomically
from fer_model.errors import TrainingError
from fer_model.networks.manifest import WeightsFile
from fer_model.training.datasets.cache import NO_ARRAY
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.training.measurement.reports import load_members, member_outputs, mirrored

logger = logging.getLogger(__name__)


def taught(
    faces: LabelledFaces,
    teachers: Sequence[WeightsFile],
    cache: Path,
    device: str = "cpu",
    before_batch: Callable[[], None] = lambda: None,
) -> LabelledFaces:
    """The faces with the mean of the teachers' probabilities for each face and its mirror image.

    Computed once per set of pictures and teachers and cached in `<cache>/training-data/`.

    Raises:
        WeightsError: a teacher cannot be read, or is no classifier.
        TrainingError: the cache cannot be written, or is damaged.
    """
    kept = cache / "training-data" / f"taught-{_key(faces, teachers)}.npy"
    if not kept.exists():
        logger.info("asking %d teachers about %d faces", len(teachers), len(faces.labels))
        _ask(faces, teachers, kept, device, before_batch)
    try:
        answers = np.load(kept)
    except NO_ARRAY as error:
        raise TrainingError(f"{kept}: is damaged ({error}); delete it") from error
    return replace(faces, taught=answers)


def _ask(
    faces: LabelledFaces, teachers: Sequence[WeightsFile], kept: Path, device: str, before_batch: Callable[[], None]
) -> None:
    members = load_members(teachers, device)
    views = (faces.images, mirrored(faces.images))
    answers = np.mean([member_outputs(members, view, before_batch).mean(axis=0) for view in views], axis=0)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(content := io.BytesIO(), answers)
        write_atomically(kept, content.getbuffer())
    except OSError as error:
        raise TrainingError(f"{kept.parent}: the teachers' answers cannot be kept there ({error})") from error


def _key(faces: LabelledFaces, teachers: Sequence[WeightsFile]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(faces.images).data)
    digest.update("".join(sorted(file.sha256 for file in teachers)).encode())
    return digest.hexdigest()[:32]
