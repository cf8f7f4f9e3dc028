"""Fits the shares and temperature of new ensembles, and adds them to the catalogue."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.engines import actual_device
from fer_model.networks.manifest import ModelSet, WeightsFile
from results import catalogue
from results.database import reading, writing
from results.errors import NameTakenError
from results.tables import Model
from workers.models import store
from workers.models.subjects import catalogued

if TYPE_CHECKING:
    from fer_model.training.measurement.fitting import Fit


def fit_ensemble(
    members: Sequence[WeightsFile], data: Path, split: str, *, device: str, cache: Path | None, resize: bool = False
) -> "Fit":
    """The shares and the temperature with which these classifiers fit labelled faces best.

    `data`, `split`, `cache` and `resize` are as in `read_faces`, `device` is auto, cpu or cuda:N.

    Raises:
        FerModelError: the device, the data or the weights cannot be used.
    """
    from fer_model.training.datasets.data import read_faces
    from fer_model.training.measurement.fitting import fit_and_measure

    chosen = actual_device(device)
    faces = read_faces(data, split, cache, resize=resize)
    # Late, because torch takes seconds to load: a wrong path is reported first.
    from fer_model.training.measurement.reports import load_members, member_outputs

    return fit_and_measure(member_outputs(load_members(members, chosen), faces.images), faces.labels)


def ensemble_template(database: Database, models_dir: Path, name: str | None, detector: str | None) -> ModelSet:
    """The ensemble in use, with the detector of that reference: the start of a new ensemble `name`.

    Raises:
        NameTakenError: there is an ensemble of this name.
        UnknownModelError: there is no such detector.
    """
    with reading(database) as session:
        _must_be_free(session, name)
        _, models = store.in_use(session, models_dir)
        return replace(models, detector=catalogued(session, models_dir, detector, "detector")) if detector else models


def keep_ensemble(database: Database, models_dir: Path, models: ModelSet, name: str | None, fitted_on: str) -> str:
    """Adds an ensemble to the catalogue, and its files to the store; returns its name.

    Without a name, its name follows from its content, so that a repeated fit gives the same ensemble.

    Raises:
        NameTakenError: another ensemble has this name.
        OSError: the files cannot be kept.
    """
    chosen = name or f"fitted-{models.key[:8]}"
    with writing(database) as session:
        # Again: it may have been taken during the fit.
        _must_be_free(session, name)
        store.register(session, models_dir, store.shipped(models_dir))
        for file in models.files:
            _keep_file(session, models_dir, file)
        store.add_ensemble(session, models_dir, chosen, models, fitted_on)
    return chosen


def _must_be_free(session: Session, name: str | None) -> None:
    if name in {store.SHIPPED_NAME, *(each.name for each in catalogue.list_ensembles(session))}:
        raise NameTakenError(f"There is an ensemble '{name}' already; choose another name.")


def _keep_file(session: Session, models_dir: Path, file: WeightsFile) -> None:
    """Copies a classifier that was given by its path into the store and adds it to the catalogue."""
    if session.get(Model, file.id) is not None:
        return
    store.keep(models_dir, file.path)
    catalogue.add_model(
        session,
        name=file.name,
        kind="classifier",
        sha256=file.sha256,
        architecture=store.architecture(file, "classifier"),
        source="given",
    )
