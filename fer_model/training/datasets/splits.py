"""Splits of a folder's pictures: training, validation and test."""

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.image_folder import (
    KNOWN_CLASSES,
    LabelledPath,
    class_pictures,
    folder_label,
    subfolders,
)

logger = logging.getLogger(__name__)

ALL = "all"
"""The only split of a folder that holds class folders directly."""

HELD_OUT = 10
"""Without a validation set every tenth picture of each emotion is held out."""

ROLES = {
    name: role
    for role, names in {
        "training": ("train", "training"),
        "validation": ("validation", "val", "valid", "dev", "publictest"),
        "test": ("test", "testing", "privatetest"),
    }.items()
    for name in names
}
"""A split's role, by its name in lower case without hyphens and underscores."""


def split_pictures(folder: Path, split: str) -> list[LabelledPath]:
    """The pictures of one split: a sub-folder, or `all` where the folder holds class folders directly.

    The sub-folder is the one of that name, upper or lower case, or else the only one with the
    same role: `Training` finds `train`, `PublicTest` finds `val`. `PrivateTest` finds `test` only
    beside a validation folder: common copies of FER-2013 with `train` and `test` alone keep
    PublicTest and PrivateTest together in `test`, so that it is neither.

    Raises:
        TrainingDataError: no such split, an ambiguous one, an unknown class folder, no pictures.
    """
    return class_pictures(_choose(folder, find_splits(folder), split))


def training_and_validation_pictures(folder: Path) -> tuple[list[LabelledPath], list[LabelledPath]]:
    """Training and validation pictures: train and validation, or train and test, or nine and one in ten.

    Raises:
        TrainingDataError: as `split_pictures`, or there are too few pictures to hold some out.
    """
    splits = find_splits(folder)
    roles = {role_of(name) for name in splits}
    training = class_pictures(_choose(folder, splits, ALL if ALL in splits else "training"))
    if "validation" in roles:
        return training, class_pictures(_choose(folder, splits, "validation"))
    if "test" in roles:
        logger.warning("%s: has no validation folder; the epoch is chosen on the test pictures", folder)
        return training, class_pictures(_choose(folder, splits, "test"))
    return _hold_out(folder, training)


def find_splits(folder: Path) -> dict[str, Path]:
    """The splits by name; `{"all": ...}` where a folder holds class folders directly.

    A single enclosing folder is searched. Raises `TrainingDataError`.
    """
    below = subfolders(folder)
    if any(folder_label(each) is not None for each in below):
        return {ALL: folder}
    if len(below) == 1 and role_of(below[0].name) is None:
        return find_splits(below[0])
    if not any(
        role_of(each.name) or any(folder_label(inner) is not None for inner in subfolders(each)) for each in below
    ):
        found = _listed(each.name for each in below)
        raise TrainingDataError(f"{folder}: holds neither class folders nor splits (found {found}); {KNOWN_CLASSES}")
    return {each.name: each for each in below}


def _choose(folder: Path, splits: dict[str, Path], split: str) -> Path:
    meant = _meant(splits, split)
    if len(meant) > 1:
        raise TrainingDataError(f"{folder}: {split!r} could be any of {_listed(meant)}")
    if not meant:
        raise TrainingDataError(f"{folder}: has no split {split!r} (found {_listed(splits)}){_hint(splits, split)}")
    return splits[meant[0]]


def _meant(splits: Iterable[str], split: str) -> list[str]:
    for alike in (str, _plain) if _hint(splits, split) else (str, _plain, role_of):
        if found := [name for name in splits if alike(name) == alike(split) is not None]:
            return found
    return []


def _hint(splits: Iterable[str], split: str) -> str:
    """The hint why a folder is not used as PublicTest or PrivateTest, if so."""
    roles = {role_of(name) for name in splits}
    if _plain(split) not in ("publictest", "privatetest") or "test" not in roles or "validation" in roles:
        return ""
    return "; without a validation folder, test may be PublicTest and PrivateTest together"


def _hold_out(folder: Path, pictures: list[LabelledPath]) -> tuple[list[LabelledPath], list[LabelledPath]]:
    seen: Counter[int] = Counter()
    training: list[LabelledPath] = []
    validation: list[LabelledPath] = []
    for path, label in pictures:
        seen[label] += 1
        (training if seen[label] % HELD_OUT else validation).append((path, label))
    if not validation:
        raise TrainingDataError(f"{folder}: no emotion has {HELD_OUT} pictures, too few to hold out one in {HELD_OUT}")
    return training, validation


def role_of(split: str) -> str | None:
    """`training`, `validation` or `test`, by a split's name; None for other names."""
    return ROLES.get(_plain(split))


def _plain(split: str) -> str:
    return split.strip().lower().replace("_", "").replace("-", "")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "no folder"
