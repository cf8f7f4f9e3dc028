"""Lists models and ensembles, of the catalogue and those shipped, as values that a command can print."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.errors import WeightsError
from fer_model.networks.manifest import ModelSet, WeightsFile
from results import catalogue
from results.database import reading
from results.tables import Ensemble, Evaluation, Model
from workers.models import store

Row = dict[str, Any]

MODEL_KEYS = ("id", "name", "kind", "architecture", "source", "recipe", "licence", "job_id", "sha256", "facts")
EVALUATION_KEYS = ("data", "split", "n", "accuracy", "ci_low", "ci_high", "macro_f1", "ece", "gmacs", "job_id")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model's file has its recorded sha256; `problem` is the reason if not."""

    id: str
    name: str
    file: str
    ok: bool
    problem: str | None = None


def overview(database: Database | None, models_dir: Path) -> Row:
    """`in_use` (a name), `ensembles` and `models`; without a database those shipped."""
    with _session(database) as session:
        models = _models(session, models_dir)
        name = _in_use(session, models_dir)
        return {
            "in_use": name,
            "ensembles": [_ensemble_row(session, name, *found) for found in _ensembles(session, models_dir)],
            "models": [_model_row(session, model) for model in models],
        }


def use_of(ensemble: Row) -> str:
    """Whether an ensemble of `overview` is in use, in a word: `pinned` also after an upgrade, `yes` until then."""
    return "pinned" if ensemble["pinned"] else "yes" if ensemble["in_use"] else ""


def details(database: Database | None, models_dir: Path, reference: str) -> Row:
    """All facts about an ensemble (by name, or `shipped`) or a model (by id, name or sha256).

    Raises:
        UnknownModelError: neither matches, or several models do.
    """
    with _session(database) as session:
        shipped = store.shipped(models_dir)
        names = (reference, store.shipped_name(shipped) if reference == store.SHIPPED_NAME else reference)
        for name, models, row in _ensembles(session, models_dir):
            if name in names:
                found = _ensemble_row(session, _in_use(session, models_dir), name, models, row)
                return found | {"evaluations": _evaluations(session, ensemble=row)}
        model = store.find_model(session, models_dir, reference)
        file = store.weights_file(models_dir, model, shipped)
        return _model_row(session, model) | {
            "file": str(file.path),
            "ensembles": [name for name, models, _ in _ensembles(session, models_dir) if _holds(models, model)],
            "evaluations": _evaluations(session, model=model),
            "card": _card(file),
        }


def verify(database: Database | None, models_dir: Path, references: Sequence[str]) -> list[Verdict]:
    """Checks the files of these models, or of all, past those that are wrong. Raises `UnknownModelError`.

    Of all, those that an earlier release shipped, and that were neither kept nor are in use, are left out.
    """
    ours = store.shipped(models_dir)
    with _session(database) as session:
        named = [store.find_model(session, models_dir, reference) for reference in references]
        used = (ours if session is None else store.in_use(session, models_dir)[1]).files
        chosen = [
            (model, store.weights_file(models_dir, model, ours)) for model in named or _models(session, models_dir)
        ]
    needed = {file.sha256 for file in used}
    return [
        _verdict(model, file)
        for model, file in chosen
        if named or model.source != "shipped" or file.sha256 in needed or file.path.exists()
    ]


def _verdict(model: Model, file: WeightsFile) -> Verdict:
    try:
        file.verify()
    except WeightsError as error:
        return Verdict(model.id, model.name, str(file.path), False, str(error))
    return Verdict(model.id, model.name, str(file.path), True)


def _session(database: Database | None) -> AbstractContextManager[Session | None]:
    return nullcontext() if database is None else reading(database)


def _models(session: Session | None, models_dir: Path) -> list[Model]:
    known = [] if session is None else list(catalogue.list_models(session))
    ids = {model.id for model in known}
    return known + [model for model in store.shipped_rows(models_dir) if model.id not in ids]


def _ensembles(session: Session | None, models_dir: Path) -> list[tuple[str, ModelSet, Ensemble | None]]:
    found: list[tuple[str, ModelSet, Ensemble | None]] = []
    if session is not None:
        found += [(row.name, store.resolve(session, models_dir, row), row) for row in catalogue.list_ensembles(session)]
    shipped = store.shipped(models_dir)
    name = store.shipped_name(shipped)
    if all(row_name != name for row_name, _, _ in found):
        found.append((name, shipped, None))
    return found


def _in_use(session: Session | None, models_dir: Path) -> str:
    return store.shipped_name(store.shipped(models_dir)) if session is None else store.in_use(session, models_dir)[0]


def _model_row(session: Session | None, model: Model) -> Row:
    newest = _evaluations(session, model=model)[:1]
    trained = None if session is None else catalogue.training_of(session, model.id)
    return {
        **{key: getattr(model, key) for key in MODEL_KEYS},
        "accuracy": newest[0]["accuracy"] if newest else None,
        "accuracy_on": f"{newest[0]['split']} of {newest[0]['data']}" if newest else None,
        # A detector's epochs measure the network in training, not the weights that are kept; `facts` has theirs.
        "best_in_training": trained.best_accuracy if trained and trained.kind == "classifier" else None,
        "created_at": model.created_at and model.created_at.isoformat(),
    }


def _ensemble_row(session: Session | None, in_use: str, name: str, models: ModelSet, row: Ensemble | None) -> Row:
    newest = _evaluations(session, ensemble=row)[:1]
    shares = zip(models.members, models.shares, strict=True)
    return {
        "name": name,
        "in_use": name == in_use,
        "detector": {"id": models.detector.id, "name": models.detector.name},
        "members": [{"id": file.id, "name": file.name, "share": share} for file, share in shares],
        "margin": models.margin,
        "temperature": models.temperature,
        "fitted_on": row and row.fitted_on,
        # One that is promoted by its own name stays in use after an upgrade; `shipped` follows the release.
        "pinned": name == in_use and row is not None and row.promoted_at is not None,
        "promoted_at": row and row.promoted_at and row.promoted_at.isoformat(),
        "accuracy": newest[0]["accuracy"] if newest else None,
        "accuracy_on": f"{newest[0]['split']} of {newest[0]['data']}" if newest else None,
    }


def _evaluations(session: Session | None, *, model: Model | None = None, ensemble: Ensemble | None = None) -> list[Row]:
    if session is None or (model is None and ensemble is None):
        return []
    found: Sequence[Evaluation] = catalogue.list_evaluations(
        session, model=model.id if model else None, ensemble=ensemble.id if ensemble else None
    )
    return [{key: getattr(row, key) for key in EVALUATION_KEYS} | {"at": row.created_at.isoformat()} for row in found]


def _holds(models: ModelSet, model: Model) -> bool:
    return any(file.sha256 == model.sha256 for file in models.files)


def _card(file: WeightsFile) -> str | None:
    card = file.path.with_suffix(".md")
    return card.read_text(encoding="utf-8", errors="replace") if card.exists() else None
