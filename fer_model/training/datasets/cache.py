"""Cache of decoded training data: arrays on disk, mapped into memory, decoded once."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np

from fer_model.errors import TrainingDataError, TrainingError
from fer_model.training.datasets.labelled import LabelledFaces

VERSION = 2
"""Increment it when the same files would decode to other arrays."""

NO_ARRAY = (OSError, EOFError, ValueError, TokenError)
"""What numpy raises for a file that is none of its arrays, or a damaged one."""


def cached(
    cache: Path | None, sources: Sequence[Path], settings: Sequence[object], decode: Callable[[], LabelledFaces]
) -> LabelledFaces:
    """The result of `decode`, from `<cache>/training-data/<key>/`; on a miss decoded and stored first.

    The key is a hash of the sources (path, size, time of last change), the settings (JSON values)
    and `VERSION`. Without a cache folder the arrays are plain ones in memory.

    Raises:
        TrainingDataError: a source cannot be read, or `decode` raises it.
        TrainingError: the cache cannot be written, or its entry is damaged.
    """
    if cache is None:
        return decode()
    folder = cache / "training-data" / _key(sources, settings)
    if not folder.is_dir():
        _keep(decode(), folder)
    return _mapped(folder)


def _key(sources: Sequence[Path], settings: Sequence[object]) -> str:
    stamps = []
    for source in sources:
        try:
            status = source.stat()
        except OSError as error:
            raise TrainingDataError(f"{source}: cannot be read ({error})") from error
        stamps.append((str(source.absolute()), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps([VERSION, settings, stamps]).encode()).hexdigest()[:32]


def _keep(faces: LabelledFaces, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="partial-", dir=folder.parent, ignore_cleanup_errors=True) as name:
            _write(faces, partial := Path(name) / "whole")
            partial.rename(folder)
    except OSError as error:
        # Another process may have been first; its folder has the same content.
        if not folder.is_dir():
            raise TrainingError(f"{folder.parent}: the decoded faces cannot be kept there ({error})") from error


def _write(faces: LabelledFaces, folder: Path) -> None:
    folder.mkdir()
    np.save(folder / "images.npy", faces.images)
    np.save(folder / "labels.npy", faces.labels)
    if faces.votes is not None:
        np.save(folder / "votes.npy", faces.votes)


def _mapped(folder: Path) -> LabelledFaces:
    try:
        # Copy on write: the file is not changed, and torch does not warn of read-only memory.
        images, labels = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("images", "labels"))
        votes = folder / "votes.npy"
        return LabelledFaces(images, labels, np.load(votes, mmap_mode="c") if votes.exists() else None)
    except NO_ARRAY as error:
        raise TrainingError(f"{folder}: is damaged ({error}); delete this folder") from error
