"""Fine-tunes the face detector with Ultralytics' trainer, on degraded photographs."""

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
    """Fine-tunes from `init`, or resumes from `folder`'s checkpoint; gives the path of the best weights.

    "Best" is the epoch with the highest AP50 of the averaged network on the validation photographs, as `Epoch` has it.
    The weights are interpolated by `run.share` between `init` and that network; their metadata name the epoch. A
    resumed run ends with the weights of an uninterrupted one, even if its photographs have moved. `on_epoch` and
    `before_batch` are as for `train_classifier`.

    Raises:
        TrainingError: as `train_classifier`; also if Ultralytics cannot read or write a file.
        WeightsError: `init` does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)

    # Ultralytics takes seconds to import, and its side effects on import must be disabled first.
    from fer_model.telemetry import disable_ultralytics_telemetry

    disable_ultralytics_telemetry()
    from fer_model.training.face_trainer import train

    train(run, init, sets.description, folder, on_epoch, before_batch)
    best = folder / BEST
    if not best.exists():
        raise TrainingError(f"{folder}: training ended without weights")
    return best
