"""Fine-tunes the face detector with Ultralytics' trainer, on frames made to look like video."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fer_model.errors import TrainingError
from fer_model.training.definitions import DetectorRun as DetectorRun
from fer_model.training.definitions import Epoch
from fer_model.training.face_sets import arrange


def train_detector(
    run: DetectorRun,
    init: Path,
    sources: Sequence[Path],
    validation: Path | None,
    folder: Path,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    before_batch: Callable[[], None] = lambda: None,
    *,
    progress: bool = True,
) -> Path:
    """Fine-tunes from `init`, or goes on where `folder`'s checkpoint stands; gives the path of the best weights.

    "Best" is the epoch with the highest AP50 on the validation photographs (which are those is said in
    `face_sets.arrange`). A run that goes on ends with the weights of an undisturbed one. `on_epoch` and
    `before_batch` are as for `train_classifier`. `progress` has Ultralytics write to stdout.

    Raises:
        TrainingDataError: a source is not in YOLO's layout.
        TrainingError: as `train_classifier`.
        WeightsError: the start does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sets = arrange(sources, validation, folder / "data")

    # Ultralytics takes seconds to import, and what it does on import must be prevented first.
    from fer_model.privacy import silence_ultralytics

    silence_ultralytics(progress=progress)
    from fer_model.training.face_trainer import train

    train(run, init, sets.description, folder.resolve(), on_epoch, before_batch, progress)
    best = folder / "best.safetensors"
    if not best.exists():
        raise TrainingError(f"{folder}: training ended without weights")
    return best
