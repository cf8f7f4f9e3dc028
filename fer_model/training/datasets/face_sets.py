"""Arranges photographs with face boxes for the detector's training, from folders and tar files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.faces import labels_of, unpack
from fer_model.training.datasets.image_folder import is_picture
from fer_model.training.datasets.splits import role_of

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}

HELD_OUT = 10
"""Without a validation set every tenth photograph is held out."""


@dataclass(frozen=True, slots=True)
class FaceSets:
    """The description file for Ultralytics' trainer, and the validation photographs."""

    description: Path
    validation: list[Path]


def arrange(
    sources: Sequence[Path], validation: Path | None, folder: Path, before_file: Callable[[], None] = lambda: None
) -> FaceSets:
    """Folders or tar files in YOLO's layout (`images/SET/*.jpg`, `labels/SET/*.txt`) as one data set in `folder`.

    With `validation`, all of its photographs are for validation and all sets of `sources` for training.
    Without, the sets named val, valid or validation are for validation and those named test are left
    out; if there are none of those, every tenth photograph is held out. Folders are linked and not
    copied, and nothing is written into them; tar files are unpacked. `before_file` is as for `unpack`.

    Raises:
        TrainingDataError: a source is not in this layout, or training or validation would be empty or without labels.
    """
    folder = folder.resolve()
    given = [each for number, source in enumerate(sources) for each in _sets(source, folder, str(number), before_file)]
    if validation:
        training, chosen = _photographs(given), _photographs(_sets(validation, folder, "validation", before_file))
        # The same photographs may be given for both.
        training = [each for each in training if each.resolve() not in {path.resolve() for path in chosen}]
    else:
        training = _photographs([each for each in given if role_of(each[0]) not in ("validation", "test")])
        chosen = _photographs([each for each in given if role_of(each[0]) == "validation"])
        if not chosen:
            chosen = training[HELD_OUT - 1 :: HELD_OUT] or training[1:2]
            training = [each for each in training if each not in set(chosen)]
    for paths, use in ((training, "to train on"), (chosen, "to choose the epoch by")):
        if not any(labels_of(path).exists() for path in paths):
            what = "labels (labels/SET/NAME.txt) of photographs" if paths else "photographs"
            raise TrainingDataError(f"{', '.join(map(str, sources))}: there are no {what} {use}")
    return FaceSets(_describe(folder, training, chosen), chosen)


def _sets(source: Path, folder: Path, mark: str, before_file: Callable[[], None]) -> list[tuple[str, Path]]:
    """Each set's name and its folder of photographs, linked into `folder`."""
    root = source.resolve()
    if not root.is_dir():
        root = folder / f"unpacked-{mark}"
        unpack([source], root, before_file)
    found = sorted(each for each in (root / "images").glob("*") if each.is_dir())
    if not found:
        raise TrainingDataError(f"{source}: holds no images/SET/ folder")
    return [(each.name, _link(root, each.name, folder, f"{mark}-{each.name}")) for each in found]


def _link(root: Path, name: str, folder: Path, alias: str) -> Path:
    # Ultralytics finds labels by the path of the picture, and writes a cache beside them.
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        link = folder / kind / alias
        link.unlink(missing_ok=True)
        link.symlink_to(root / kind / name, target_is_directory=True)
    return folder / "images" / alias


def _photographs(sets: Sequence[tuple[str, Path]]) -> list[Path]:
    found = (path for _, folder in sets for path in sorted(folder.iterdir()))
    return [path for path in found if path.suffix.lower() in SUFFIXES and is_picture(path)]


def _describe(folder: Path, training: list[Path], validation: list[Path]) -> Path:
    for name, paths in (("training", training), ("validation", validation)):
        (folder / f"{name}.txt").write_text("".join(f"{path}\n" for path in paths))
    description = folder / "faces.yaml"
    sets = {"train": "training.txt", "val": "validation.txt"}
    description.write_text(yaml.safe_dump({"path": str(folder), **sets, "names": {0: "face"}}))
    return description
