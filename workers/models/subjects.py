"""What is to be evaluated or put together: files, models and ensembles of the catalogue, or those shipped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.networks.manifest import ModelSet, WeightsFile, given_file
from results import catalogue
from results.database import reading, writing
from results.errors import NameTakenError, UnknownEnsembleError, UnknownModelError
from results.tables import Ensemble, Evaluation, Model
from workers.errors import SameModelError
from workers.models import store

MARK = ".safetensors"


@dataclass(frozen=True, slots=True)
class Subject:
    """One classifier, or an ensemble of some, `shares` and `temperature` as in `ModelSet`."""

    name: str
    members: tuple[WeightsFile, ...]
    shares: tuple[float, ...] = (1.0,)
    temperature: float = 1.0
    is_ensemble: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `models` is the name."""
        pairs = zip(self.members, self.shares, strict=True)
        members = [{"name": file.name, "sha256": file.sha256, "share": share} for file, share in pairs]
        return {"models": self.name, "members": members, "temperature": self.temperature}


def model_subject(database: Database | None, models_dir: Path, reference: str) -> Subject:
    """One classifier; arguments and errors as of `find_classifier`."""
    file = find_classifier(database, models_dir, reference)
    return Subject(file.name, (file,))


def ensemble_subject(database: Database | None, models_dir: Path, name: str | None) -> Subject:
    """The ensemble of a name, `shipped` included; without a name the one that is in use.

    Raises:
        UnknownEnsembleError: there is none of this name, or no database to look in.
    """
    shipped = store.shipped(models_dir)
    if name in (store.SHIPPED_NAME, store.shipped_name(shipped)) or (name is None and database is None):
        return _subject(store.shipped_name(shipped), shipped)
    if database is None:
        raise UnknownEnsembleError(f"There is no ensemble '{name}' among those shipped, and no database to look in.")
    with reading(database) as session:
        if name is None:
            return _subject(*store.in_use(session, models_dir))
        return _subject(name, store.resolve(session, models_dir, catalogue.find_ensemble(session, name)))


def find_classifier(database: Database | None, models_dir: Path, reference: str) -> WeightsFile:
    """A classifier's weights: a path that ends in .safetensors, or an id or a name, shipped or in the catalogue.

    Raises:
        WeightsError: it is a path, and the file cannot be read.
        UnknownModelError: there is no such classifier, or no database to look in.
    """
    return _find(database, models_dir, reference, "classifier")


def find_classifiers(database: Database | None, models_dir: Path, references: Sequence[str]) -> tuple[WeightsFile, ...]:
    """Classifiers of which no two are the same, each as of `find_classifier`.

    Raises:
        SameModelError: two of them are.
    """
    found: dict[str, tuple[str, WeightsFile]] = {}
    for reference in references:
        file = find_classifier(database, models_dir, reference)
        if file.sha256 in found:
            raise SameModelError(f"'{found[file.sha256][0]}' and '{reference}' are the same model; name each once.")
        found[file.sha256] = reference, file
    return tuple(file for _, file in found.values())


def find_detector(database: Database | None, models_dir: Path, reference: str) -> WeightsFile:
    """A detector's weights, as `find_classifier`."""
    return _find(database, models_dir, reference, "detector")


def keep_evaluation(
    database: Database, models_dir: Path, subject: Subject, report: dict[str, Any], data: Path, split: str
) -> bool:
    """Writes a report into the catalogue; False if the subject is a file that the catalogue does not know.

    `report` has the keys that `fer-batch evaluate --json` prints. Raises `ResultsError`.
    """
    with writing(database) as session:
        owner = _owner(session, models_dir, subject)
        if owner is None:
            return False
        catalogue.add_evaluation(session, evaluation_row(owner, report, str(data.absolute()), split))
    return True


def evaluation_row(owner: Ensemble | Model, report: dict[str, Any], data: str, split: str) -> Evaluation:
    """A report, with the keys that `fer-batch evaluate --json` prints, as a row that is in no database yet."""
    low, high = report["ci95"]
    figures = {name: report[name] for name in ("n", "accuracy", "macro_f1", "ece", "gmacs")}
    place = {"ensemble_id": owner.id} if isinstance(owner, Ensemble) else {"model_id": owner.id}
    return Evaluation(data=data, split=split, ci_low=low, ci_high=high, report=report, **figures, **place)


def frame_of_ensemble(database: Database, models_dir: Path, name: str | None, detector: str | None) -> ModelSet:
    """The ensemble in use, with the detector that was named: what a new ensemble of this name is built into.

    Raises:
        NameTakenError: there is an ensemble of this name.
        UnknownModelError: there is no such detector.
    """
    with reading(database) as session:
        _must_be_free(session, name)
        _, models = store.in_use(session, models_dir)
        return replace(models, detector=_known(session, models_dir, detector, "detector")) if detector else models


def keep_ensemble(database: Database, models_dir: Path, models: ModelSet, name: str | None, fitted_on: str) -> str:
    """Adds an ensemble to the catalogue, and its files to the store; gives its name.

    Without a name it gets one that stands for just this face_filter, so that the same fit again is the same ensemble.

    Raises:
        NameTakenError: another ensemble has this name.
        OSError: the files cannot be kept.
    """
    chosen = name or f"fitted-{models.key[:8]}"
    with writing(database) as session:
        # Somebody may have taken it during the fit.
        _must_be_free(session, name)
        store.register(session, models_dir, store.shipped(models_dir))
        for file in models.files:
            _keep_file(session, models_dir, file)
        store.add_ensemble(session, models_dir, chosen, models, fitted_on)
    return chosen


def _must_be_free(session: Session, name: str | None) -> None:
    if name in {store.SHIPPED_NAME, *(each.name for each in catalogue.list_ensembles(session))}:
        raise NameTakenError(f"There is an ensemble '{name}' already; choose another name.")


def _subject(name: str, models: ModelSet) -> Subject:
    return Subject(name, models.members, models.shares, models.temperature, is_ensemble=True)


def _find(database: Database | None, models_dir: Path, reference: str, kind: str) -> WeightsFile:
    if reference.endswith(MARK):
        return given_file(Path(reference))
    if database is None:
        return _known(None, models_dir, reference, kind)
    with reading(database) as session:
        return _known(session, models_dir, reference, kind)


def _known(session: Session | None, models_dir: Path, reference: str, kind: str) -> WeightsFile:
    model = store.find_model(session, models_dir, reference)
    if model.kind != kind:
        raise UnknownModelError(f"'{reference}' is a {model.kind}, not a {kind}.")
    return store.weights_file(models_dir, model, store.shipped(models_dir))


def _owner(session: Session, models_dir: Path, subject: Subject) -> Ensemble | Model | None:
    store.register(session, models_dir, store.shipped(models_dir))
    if subject.is_ensemble:
        return catalogue.find_ensemble(session, subject.name)
    return session.get(Model, subject.members[0].sha256[: catalogue.ID_DIGITS])


def _keep_file(session: Session, models_dir: Path, file: WeightsFile) -> None:
    """Takes a classifier that was given by its path into the store and the catalogue."""
    if session.get(Model, file.sha256[: catalogue.ID_DIGITS]) is not None:
        return
    store.keep(models_dir, file.path)
    catalogue.add_model(
        session,
        name=file.name,
        kind="classifier",
        sha256=file.sha256,
        architecture=store.CLASSIFIER,
        source="given",
    )
