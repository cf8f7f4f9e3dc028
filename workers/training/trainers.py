"""Runs the two trainers: from a run's row to weights and their measured quality."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine as Database

from fer_model.errors import FerModelError
from fer_model.networks.manifest import given_file
from fer_model.training.definitions import CHECKPOINT, ClassifierRun, DetectorRun, Epoch
from results.tables import TrainingRun
from workers.models import store
from workers.models.subjects import find_classifiers, find_weights
from workers.settings import Settings, writable_cache

if TYPE_CHECKING:
    from fer_model.training.datasets.faces import LabelledPhotograph

logger = logging.getLogger(__name__)

SCRATCH, IMAGENET, SHIPPED = "scratch", "imagenet", "shipped"


@dataclass(frozen=True, slots=True)
class Watch:
    """A trainer's callbacks: `on_epoch` after each checkpoint, `before_batch` often; either may raise to end it."""

    on_epoch: Callable[[Epoch], None]
    before_batch: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """The best weights, facts about them, and of a classifier the report that `evaluate --json` prints."""

    weights: Path
    facts: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] | None = None


def run_trainer(
    database: Database, settings: Settings, run: TrainingRun, folder: Path, device: str, watch: Watch
) -> Trained:
    """Trains as the row defines, from the checkpoint in `folder` if there is one, and measures the result.

    `device` is `cpu` or `cuda:N`. Raises `FerModelError`, and whatever `watch` raises.
    """
    import torch

    # Read before the first change: a run must not inherit the number of threads of an earlier run.
    usual = _usual_threads()
    torch.set_num_threads(run.definition["threads"] or usual)
    train = _train_classifier if run.kind == "classifier" else _train_detector
    return train(database, settings, run, folder, device, watch)


@cache
def _usual_threads() -> int:
    import torch

    return torch.get_num_threads()


def _train_classifier(
    database: Database, settings: Settings, run: TrainingRun, folder: Path, device: str, watch: Watch
) -> Trained:
    from fer_model.training.classifier import train_classifier
    from fer_model.training.datasets.data import training_and_validation
    from fer_model.training.measurement.reports import load_members, report

    cache = writable_cache(settings.cache_dir)
    faces = training_and_validation(Path(run.data), cache, resize=run.definition["resize"])
    if teachers := find_classifiers(database, settings.models_dir, run.definition.get("teachers", ())):
        from fer_model.training.teaching import taught

        faces = (taught(faces[0], teachers, cache, device, watch.before_batch), faces[1])
    # A resumed run needs no initial weights, and this machine may have no access to them.
    init = None if (folder / CHECKPOINT).exists() else _start_of_classifier(database, settings, run.definition["init"])
    chosen = _fields(ClassifierRun, run.definition)
    definition = ClassifierRun(**{**chosen, "recipe": run.recipe, "epochs": run.epochs, "init": init, "device": device})
    weights = train_classifier(definition, *faces, folder, watch.on_epoch, watch.before_batch)
    members = load_members([given_file(weights)], device)
    measured = report(members, [1.0], 1.0, faces[1], before_batch=watch.before_batch)[0]
    parameters = {"parameters": measured.complexity.parameters, "gmacs": measured.complexity.gmacs}
    return Trained(weights, parameters, measured.as_dict())


def _start_of_classifier(database: Database, settings: Settings, init: str) -> str | None:
    if init == SCRATCH:
        return None
    if init == IMAGENET:
        from fer_model.training.starts import imagenet_features

        return str(imagenet_features(writable_cache(settings.cache_dir)))
    return str(find_weights(database, settings.models_dir, init, "classifier").path)


def _train_detector(
    database: Database, settings: Settings, run: TrainingRun, folder: Path, device: str, watch: Watch
) -> Trained:
    from fer_model.training.datasets.face_sets import arrange
    from fer_model.training.detector import train_detector
    from fer_model.training.measurement.measuring import float_detector, precision

    chosen = _fields(DetectorRun, run.definition)
    definition = DetectorRun(**{**chosen, "epochs": run.epochs, "device": device})
    init, given = run.definition["init"], run.definition["validation"]
    models_dir = settings.models_dir
    shipped = store.shipped(models_dir).detector
    start = shipped if init == SHIPPED else find_weights(database, models_dir, init, "detector")
    sources, held_out = [Path(each) for each in run.definition["data"]], Path(given) if given else None
    # Unpacked photographs may be gigabytes: they are deleted when the attempt ends, or, if its process is killed, with
    # the attempt's folder. The next attempt unpacks them again, maybe on another machine.
    with TemporaryDirectory(prefix="data-", dir=folder, ignore_cleanup_errors=True) as data:
        sets = arrange(sources, held_out, Path(data), watch.before_batch)
        weights = train_detector(definition, start.path, sets, folder, watch.on_epoch, watch.before_batch)
        # The epochs' figures belong to the network in training; these belong to the weights that are kept.
        figures = precision(float_detector(weights), _photographs(sets.validation, watch))
    return Trained(weights, {f"ap50_from_{height}_px": value for height, value in figures.items()})


def _photographs(paths: Iterable[Path], watch: Watch) -> "Iterator[LabelledPhotograph]":
    from fer_model.training.datasets.faces import read_photograph

    for path in paths:
        watch.before_batch()
        try:
            yield read_photograph(path)
        except FerModelError as error:
            # The trainer skipped it too; a finished run must not fail for it.
            logger.warning("not measured: %s", error)


def _fields(definition: Any, stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: stored[name] for name in definition.__dataclass_fields__ if name in stored}
