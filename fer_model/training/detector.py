"""Fine-tunes the face detector with Ultralytics' trainer, on frames made to look like video."""

from collections.abc import Callable
from pathlib import Path

from fer_model.errors import TrainingError
from fer_model.training.datasets.face_sets import FaceSets
from fer_model.training.definitions import BEST, DetectorRun, Epoch


def train_detector(
    run: DetectorRun,
    init: Path,
    sets: FaceSets,
    folder: Path,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    before_batch: Callable[[], None] = lambda: None,
) -> Path:
    """Fine-tunes from `init`, or goes on where `folder`'s checkpoint stands; gives the path of the best weights.

    "Best" is the epoch with the highest AP50 on the validation photographs, as the rows of the epochs have it: that of
    the averaged network in training. The weights are `run.share` of the way from `init` to that network, and say
    which epoch it was. A run that goes on ends with the weights of an undisturbed one, wherever its photographs lie
    by then. `on_epoch` and `before_batch` are as for `train_classifier`.

    Raises:
        TrainingError: as `train_classifier`; also if Ultralytics cannot read or write what it needs.
        WeightsError: the start does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)

    # Ultralytics takes seconds to import, and what it does on import must be prevented first.
    from fer_model.telemetry import disable_ultralytics_telemetry

    disable_ultralytics_telemetry()
    from fer_model.training.face_trainer import train

    train(run, init, sets.description, folder, on_epoch, before_batch)
    best = folder / BEST
    if not best.exists():
        raise TrainingError(f"{folder}: training ended without weights")
    return best
