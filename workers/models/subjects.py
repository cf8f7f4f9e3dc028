"""Finds models and ensembles by reference: a file, a name or an id in the catalogue, or those shipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.networks.manifest import ModelSet, WeightsFile, given_file
from results import catalogue
from results.database import reading
from results.errors import UnknownEnsembleError, UnknownModelError
from workers.errors import SameModelError
from workers.models import store

MARK = ".safetensors"


@dataclass(frozen=True, slots=True)
class Subject:
    """One classifier, or an ensemble of several; `shares` and `temperature` as in `ModelSet`."""

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
    """One classifier; arguments and errors as of `find_weights`."""
    file = find_weights(database, models_dir, reference, "classifier")
    return Subject(file.name, (file,))


def ensemble_subject(database: Database | None, models_dir: Path, name: str | None) -> Subject:
    """The ensemble of this name, `shipped` included; without a name the one in use.

    Raises:
        UnknownEnsembleError: no ensemble has this name, or there is no database to look in.
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


def find_weights(database: Database | None, models_dir: Path, reference: str, kind: str) -> WeightsFile:
    """A `classifier`'s or `detector`'s weights: a path that ends in .safetensors, or the id or name of a shipped or
    catalogued model.

    Raises:
        WeightsError: the reference is a path, and the file cannot be read.
        UnknownModelError: there is no such model of this kind, or no database to look in.
    """
    if reference.endswith(MARK):
        return given_file(Path(reference))
    if database is None:
        return catalogued(None, models_dir, reference, kind)
    with reading(database) as session:
        return catalogued(session, models_dir, reference, kind)


def find_classifiers(database: Database | None, models_dir: Path, references: Sequence[str]) -> tuple[WeightsFile, ...]:
    """Distinct classifiers, each as of `find_weights`.

    Raises:
        SameModelError: two references name the same weights.
    """
    found: dict[str, tuple[str, WeightsFile]] = {}
    for reference in references:
        file = find_weights(database, models_dir, reference, "classifier")
        if file.sha256 in found:
            raise SameModelError(f"'{found[file.sha256][0]}' and '{reference}' are the same model; name each once.")
        found[file.sha256] = reference, file
    return tuple(file for _, file in found.values())


def _subject(name: str, models: ModelSet) -> Subject:
    return Subject(name, models.members, models.shares, models.temperature, is_ensemble=True)


def catalogued(session: Session | None, models_dir: Path, reference: str, kind: str) -> WeightsFile:
    """The weights of a model that is shipped or in the catalogue. Raises `UnknownModelError`; also for another kind."""
    model = store.find_model(session, models_dir, reference)
    if model.kind != kind:
        raise UnknownModelError(f"'{reference}' is a {model.kind}, not a {kind}.")
    return store.weights_file(models_dir, model, store.shipped(models_dir))
