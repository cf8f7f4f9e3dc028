"""The store of weights: files named by their sha256 in FER_MODELS_DIR, and the catalogue's rows as `ModelSet`.

`models_dir` is that folder, as in `Settings`.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.digests import digest
from fer_model.errors import WeightsError
from fer_model.networks.architectures import architecture_of, summary
from fer_model.networks.loading import classifier_side, classifier_variant
from fer_model.networks.manifest import SHIPPED, ModelSet, WeightsFile, read_models
from fer_model.preprocess import FACE_SIZE
from results import catalogue
from results.database import writing
from results.errors import NameTakenError, UnknownModelError
from results.tables import Ensemble, Model
from workers.settings import expanded

DETECTOR = "yolov8n"
SHIPPED_NAME = "shipped"
SHIPPED_LICENCE = "AGPL-3.0"


def folder(models_dir: Path) -> Path:
    """The store's folder, with `~` expanded; may not exist yet."""
    return expanded(models_dir, "FER_MODELS_DIR")


def keep(models_dir: Path, weights: Path) -> str:
    """Copies a safetensors file into the store, atomically; returns its sha256. Raises `OSError`."""
    sha256 = digest(weights, "sha256")
    _copy(weights, stored(models_dir, sha256), sha256)
    return sha256


def stored(models_dir: Path, sha256: str) -> Path:
    """Where the store keeps the weights with this sha256; may not exist."""
    return folder(models_dir) / f"{sha256}.safetensors"


def _keep_graph(models_dir: Path, file: WeightsFile) -> None:
    """Copies a shipped graph beside its weights, so that they need no conversion after a later release."""
    if file.graph:
        kept = folder(models_dir) / f"{file.sha256}-{file.graph.sha256}.safetensors"
        _copy(file.graph.path, kept, file.graph.sha256)
        # Of several graphs the last kept one is taken, also when it was there already.
        kept.touch()


def _stored_graph(models_dir: Path, weights: WeightsFile) -> WeightsFile | None:
    """The graph that `_keep_graph` copied last; None if these weights came without one."""
    kept = folder(models_dir).glob(f"{weights.sha256}-*.safetensors")
    # Two releases may have made different graphs of the same weights: each worker must take the same one.
    path = max(kept, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)
    return None if path is None else WeightsFile(f"{weights.name}-graph", path, path.stem.rpartition("-")[2])


def _copy(file: Path, target: Path, sha256: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # A file damaged on the disk is replaced.
    if not target.exists() or digest(target, "sha256") != sha256:
        with tempfile.TemporaryDirectory(dir=target.parent) as partial:
            whole = Path(partial) / target.name
            shutil.copyfile(file, whole)
            whole.replace(target)


def shipped(models_dir: Path) -> ModelSet:
    """The models shipped with the program, or those of a manifest.json in the store. Raises `WeightsError`."""
    store = folder(models_dir)
    return read_models(store if (store / "manifest.json").exists() else SHIPPED)


def register(session: Session, models_dir: Path, models: ModelSet) -> Ensemble:
    """The catalogue's row for shipped models, created if missing. Idempotent."""
    for values in _shipped_values(models):
        catalogue.add_model(session, **values)
    return add_ensemble(session, models_dir, shipped_name(models), models)


def add_ensemble(
    session: Session, models_dir: Path, name: str, models: ModelSet, fitted_on: str | None = None
) -> Ensemble:
    """The ensemble of this name with these models, which are in the catalogue; created if missing. Idempotent.

    `fitted_on` names the data on which shares and temperature were fitted.

    Raises:
        NameTakenError: an ensemble of this name has other models.
    """
    detector, *members = (file.id for file in models.files)
    try:
        return catalogue.add_ensemble(
            session,
            name=name,
            detector=detector,
            members=list(zip(members, models.shares, strict=True)),
            margin=models.margin,
            temperature=models.temperature,
            fitted_on=fitted_on,
        )
    except NameTakenError:
        known = catalogue.find_ensemble(session, name)
        if resolve(session, models_dir, known).key != models.key:
            raise
        return known


def shipped_name(models: ModelSet) -> str:
    """The name of shipped models in the catalogue; unique for each release and each manifest.json."""
    return f"{_origin(models.detector)}-{models.key[:8]}"


def resolve(session: Session, models_dir: Path, ensemble: Ensemble) -> ModelSet:
    """An ensemble of the catalogue as `ModelSet`; does not check that the files exist."""
    rows = catalogue.members_of(session, ensemble)
    ours = shipped(models_dir)
    return ModelSet(
        detector=weights_file(models_dir, session.get_one(Model, ensemble.detector_id), ours),
        members=tuple(weights_file(models_dir, model, ours) for model, _ in rows),
        shares=tuple(share for _, share in rows),
        margin=ensemble.margin,
        temperature=ensemble.temperature,
    )


def find_model(session: Session | None, models_dir: Path, reference: str) -> Model:
    """A model that is shipped or in the catalogue, as `catalogue.find_model`; without a session only a shipped one.

    Raises:
        UnknownModelError: no model matches, or several do.
    """
    for model in shipped_rows(models_dir):
        if reference in (model.id, model.name, model.sha256):
            return model if session is None else session.get(Model, model.id) or model
    if session is None:
        raise UnknownModelError(f"There is no model '{reference}' among those shipped, and no database to look in.")
    return catalogue.find_model(session, reference)


def weights_file(models_dir: Path, model: Model, ours: ModelSet) -> WeightsFile:
    """A model's weights: in the store, or among those shipped, which are `ours`."""
    return _weights_file(models_dir, model.name, model.sha256, ours)


def _weights_file(models_dir: Path, name: str, sha256: str, ours: ModelSet) -> WeightsFile:
    for file in ours.files:
        if file.sha256 == sha256:
            return file
    weights = WeightsFile(name, stored(models_dir, sha256), sha256)
    return replace(weights, graph=_stored_graph(models_dir, weights))


def in_use(session: Session, models_dir: Path) -> tuple[str, ModelSet]:
    """The name and the models of the ensemble in use: the promoted one, else the shipped one."""
    ensemble = catalogue.promoted(session)
    if ensemble is not None:
        return ensemble.name, resolve(session, models_dir, ensemble)
    models = shipped(models_dir)
    return shipped_name(models), models


def known(session: Session, models_dir: Path) -> tuple[int, ModelSet] | None:
    """As `in_use`, with the ensemble's id instead of its name; None if that is not in the catalogue yet.

    Raises:
        NameTakenError: another ensemble has the name of the shipped one.
    """
    ours = shipped(models_dir)
    found = catalogue.in_use(session, shipped_name(ours))
    if found is None:
        return None
    models = ModelSet(
        detector=_weights_file(models_dir, *found.detector, ours),
        members=tuple(_weights_file(models_dir, *member, ours) for member in found.members),
        shares=tuple(found.shares),
        margin=found.margin,
        temperature=found.temperature,
    )
    if not found.is_promoted and models.key != ours.key:
        raise NameTakenError(f"There is an ensemble '{found.name}' already, and it is not the one shipped.")
    return found.id, models


def current(session: Session, models_dir: Path) -> tuple[int, ModelSet]:
    """As `known`; adds the shipped ensemble to the catalogue on first use, so it needs a session that writes."""
    found = known(session, models_dir)
    if found is None:
        models = shipped(models_dir)
        found = register(session, models_dir, models).id, models
    return found


def promote(database: Database, models_dir: Path, name: str) -> Ensemble:
    """Makes an ensemble the one in use; `shipped` follows the release: this one's models, then a later one's.

    Verifies every file first. Copies shipped files and their graphs into the store: a later release ships others, and
    an ensemble that was promoted by its own name stays in use.

    Raises:
        UnknownEnsembleError: there is no such ensemble.
        WeightsError: a file is missing or has another sha256; nothing has changed.
        OSError: the store cannot be written to.
    """
    ours = shipped(models_dir)
    if name == SHIPPED_NAME:
        ours.verify()
        with writing(database) as session:
            catalogue.demote_all(session)
            return register(session, models_dir, ours)
    with writing(database) as session:
        # The shipped ensemble is in the catalogue only once it was used.
        if name == shipped_name(ours):
            register(session, models_dir, ours)
        models = resolve(session, models_dir, catalogue.find_ensemble(session, name))
    if name.startswith(f"{SHIPPED_NAME}-") and not all(file.path.exists() for file in models.files):
        raise WeightsError(
            f"{name} came with an earlier release, and its weights were not kept. To use it, install that release, "
            f"promote {name} there, and upgrade again."
        )
    models.verify()
    for file in models.files:
        keep(models_dir, file.path)
        _keep_graph(models_dir, file)
    with writing(database) as session:
        return catalogue.promote(session, name)


def architecture(file: WeightsFile, kind: str) -> str:
    """The `architecture` of a model's row: a name, or a summary of a non-standard detector's layers."""
    if kind == "classifier":
        side, build = classifier_side(file.path), classifier_variant(file.path).summary
        return build if side == FACE_SIZE else f"{build} at {side}x{side}"
    config = architecture_of(file.path)
    return DETECTOR if config is None else summary(config)


def shipped_rows(models_dir: Path) -> list[Model]:
    """The shipped models as rows outside of any database. Raises `WeightsError`."""
    return [Model(id=row["sha256"][: catalogue.ID_DIGITS], **row) for row in _shipped_values(shipped(models_dir))]


def _shipped_values(models: ModelSet) -> list[dict[str, Any]]:
    kinds = ["detector", *["classifier"] * len(models.members)]
    return [
        {
            "name": file.name,
            "kind": kind,
            "sha256": file.sha256,
            "architecture": architecture(file, kind),
            "source": _origin(file),
            "licence": SHIPPED_LICENCE if _origin(file) == "shipped" else None,
            "facts": dict(file.facts),
        }
        for file, kind in zip(models.files, kinds, strict=True)
    ]


def _origin(file: WeightsFile) -> str:
    return "shipped" if file.path.parent == SHIPPED else "given"
