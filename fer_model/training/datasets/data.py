"""Reads training data: FER-2013 as a table, or pictures in class folders; each is decoded once."""

from pathlib import Path

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.cache import cached
from fer_model.training.datasets.fer2013 import read_fer2013
from fer_model.training.datasets.image_folder import LabelledPath, decode_pictures
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.training.datasets.splits import split_pictures, training_and_validation_pictures

VOTES = "fer2013new.csv"
"""The published name of the FER+ votes, expected beside FER-2013."""


def read_faces(path: Path, split: str, cache: Path | None = None, *, resize: bool = False) -> LabelledFaces:
    """One split of a CSV file (plain, .gz, .bz2, .xz or .zip) or of a folder of pictures.

    In a CSV file the split is a Usage (Training, PublicTest, PrivateTest), upper or lower case;
    FER+ votes beside it are read with Training, and rows whose most frequent vote is "not a face"
    are left out. In a folder it is a sub-folder (train, test ...; for other names see
    `splits.split_pictures`), or `all`. With `cache`, a folder, decoded
    faces are kept there and mapped into memory. `resize` resizes pictures of a folder to 48x48;
    those of a CSV are always 48x48.

    Raises:
        TrainingDataError: names the file and the row, or the picture, that is invalid.
        TrainingError: the cache cannot be written, or is damaged.
    """
    if path.is_dir():
        return _pictures(split_pictures(path, split), cache, resize)
    votes = path.parent / VOTES
    if split.strip().lower() != "training" or not votes.exists():
        return cached(cache, [path], ["csv", split.strip().lower()], lambda: read_fer2013(path, split))
    return cached(cache, [path, votes], ["csv", "training"], lambda: _with_votes(path, votes))


def training_and_validation(
    path: Path, cache: Path | None = None, *, resize: bool = False
) -> tuple[LabelledFaces, LabelledFaces]:
    """Training and validation faces; arguments and errors as of `read_faces`.

    Of a CSV file Training and PublicTest. Of a folder train and validation, or where there is no
    validation train and test; where there is neither, every tenth picture of each emotion is held out.
    """
    if path.is_dir():
        training, validation = training_and_validation_pictures(path)
        return _pictures(training, cache, resize), _pictures(validation, cache, resize)
    return read_faces(path, "Training", cache), read_faces(path, "PublicTest", cache)


def _pictures(pictures: list[LabelledPath], cache: Path | None, resize: bool) -> LabelledFaces:
    labels = [label for _, label in pictures]
    settings = ["pictures", resize, labels]
    return cached(cache, [path for path, _ in pictures], settings, lambda: decode_pictures(pictures, resize))


def _with_votes(path: Path, votes: Path) -> LabelledFaces:
    # Torch loads slowly, and only the votes need it.
    from fer_model.training.datasets.ferplus import label_probabilities, read_votes, shows_face

    faces, counts = read_fer2013(path, "Training"), read_votes(votes, "Training")
    if len(faces.labels) != len(counts):
        raise TrainingDataError(
            f"{votes}: has {len(counts)} Training rows but {path.name} has {len(faces.labels)}; "
            "they do not belong together, move one away"
        )
    clear = shows_face(counts)
    probabilities = label_probabilities(counts[clear], faces.labels[clear])
    return LabelledFaces(faces.images[clear], faces.labels[clear], probabilities)
