"""What is to be evaluated or put together: files, models and ensembles of the catalogue, or those shipped."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from fer_model.manifest import Models, WeightsFile, given_file
from results import catalogue
from results.database import reading, writing
from results.errors import NameTakenError, UnknownEnsembleError, UnknownModelError
from results.models import Ensemble, Evaluation, Model
from workers import store

MARK = ".safetensors"


@dataclass(frozen=True, slots=True)
class Subject:
    """One classifier, or an ensemble of some, `shares` and `temperature` as in `Models`."""

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


def model_subject(database: Engine | None, reference: str) -> Subject:
    """One classifier; arguments and errors as of `find_classifier`."""
    file = find_classifier(database, reference)
    return Subject(file.name, (file,))


def ensemble_subject(database: Engine | None, name: str | None) -> Subject:
    """The ensemble of a name, `shipped` included; without a name the one that is in use.

    Raises:
        UnknownEnsembleError: there is none of this name, or no database to look in.
    """
    shipped = store.shipped()
    if name in (store.SHIPPED_NAME, store.shipped_name(shipped)) or (name is None and database is None):
        return _subject(store.shipped_name(shipped), shipped)
    if database is None:
        raise UnknownEnsembleError(f"There is no ensemble '{name}' among those shipped, and no database to look in.")
    with reading(database) as session:
        if name is None:
            return _subject(*store.in_use(session))
        return _subject(name, store.resolve(session, catalogue.find_ensemble(session, name)))


def find_classifier(database: Engine | None, reference: str) -> WeightsFile:
    """A classifier's weights: a path that ends in .safetensors, or an id or a name, shipped or in the catalogue.

    Raises:
        WeightsError: it is a path, and the file cannot be read.
        UnknownModelError: there is no such classifier, or no database to look in.
    """
    return _find(database, reference, "classifier", store.shipped().members)


def find_detector(database: Engine | None, reference: str) -> WeightsFile:
    """A detector's weights, as `find_classifier`."""
    return _find(database, reference, "detector", (store.shipped().detector,))


def keep_evaluation(database: Engine, subject: Subject, report: dict[str, Any], data: Path, split: str) -> bool:
    """Writes a report into the catalogue; False if the subject is a file that the catalogue does not know.

    `report` has the keys that `fer-batch evaluate --json` prints. Raises `ResultsError`.
    """
    low, high = report["ci95"]
    figures = {name: report[name] for name in ("n", "accuracy", "macro_f1", "ece", "gmacs")}
    with writing(database) as session:
        owner = _owner(session, subject)
        if owner is None:
            return False
        place = {"ensemble_id": owner.id} if isinstance(owner, Ensemble) else {"model_id": owner.id}
        row = Evaluation(
            data=str(data.absolute()), split=split, ci_low=low, ci_high=high, report=report, **figures, **place
        )
        catalogue.add_evaluation(session, row)
    return True


def frame_of_ensemble(database: Engine, name: str | None, detector: str | None) -> Models:
    """The ensemble in use, with the detector that was named: what a new ensemble of this name is built into.

    Raises:
        NameTakenError: there is an ensemble of this name.
        UnknownModelError: there is no such detector.
    """
    with writing(database) as session:
        _, models = store.current(session)
        store.register(session, store.shipped())
        if name == store.SHIPPED_NAME or any(name == each.name for each in catalogue.list_ensembles(session)):
            raise NameTakenError(f"There is an ensemble '{name}' already; choose another name.")
        if detector is None:
            return models
        model = catalogue.find_model(session, detector)
        if model.kind != "detector":
            raise UnknownModelError(f"'{detector}' is a {model.kind}, not a detector.")
        return replace(models, detector=store.weights_file(model))


def keep_ensemble(database: Engine, models: Models, name: str | None, fitted_on: str) -> str:
    """Adds an ensemble to the catalogue, and its files to the store; gives its name.

    Without a name it gets one that stands for just this choice, so that the same fit again is the same ensemble.

    Raises:
        NameTakenError: another ensemble has this name.
        OSError: the files cannot be kept.
    """
    chosen = name or f"fitted-{models.key[:8]}"
    with writing(database) as session:
        detector, *members = (_keep_file(session, file) for file in models.files)
        try:
            catalogue.add_ensemble(
                session,
                name=chosen,
                detector=detector,
                members=list(zip(members, models.shares, strict=True)),
                margin=models.margin,
                temperature=models.temperature,
                fitted_on=fitted_on,
            )
        except NameTakenError:
            if name:
                raise
    return chosen


def _subject(name: str, models: Models) -> Subject:
    return Subject(name, models.members, models.shares, models.temperature, is_ensemble=True)


def _find(database: Engine | None, reference: str, kind: str, shipped: tuple[WeightsFile, ...]) -> WeightsFile:
    if reference.endswith(MARK):
        return given_file(Path(reference))
    for file in shipped:
        if reference in (file.name, file.sha256[: catalogue.ID_DIGITS], file.sha256):
            return file
    if database is None:
        raise UnknownModelError(f"There is no model '{reference}' among those shipped, and no database to look in.")
    with reading(database) as session:
        model = catalogue.find_model(session, reference)
        if model.kind != kind:
            raise UnknownModelError(f"'{reference}' is a {model.kind}, not a {kind}.")
        return store.weights_file(model)


def _owner(session: Session, subject: Subject) -> Ensemble | Model | None:
    store.register(session, store.shipped())
    if subject.is_ensemble:
        return catalogue.find_ensemble(session, subject.name)
    return session.get(Model, subject.members[0].sha256[: catalogue.ID_DIGITS])


def _keep_file(session: Session, file: WeightsFile) -> str:
    """The id of a file's row, which is made for a classifier that was given by its path."""
    if (known := session.get(Model, file.sha256[: catalogue.ID_DIGITS])) is not None:
        return known.id
    store.keep(file.path)
    model = catalogue.add_model(
        session,
        name=file.name,
        kind="classifier",
        sha256=file.sha256,
        architecture=store.CLASSIFIER,
        source="given",
    )
    return model.id
