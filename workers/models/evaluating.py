"""Measures models on labelled faces, and adds the evaluations to the catalogue."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.engines import actual_device
from results import catalogue
from results.database import writing
from results.tables import Ensemble, Evaluation, Model
from workers.models import store
from workers.models.subjects import Subject

if TYPE_CHECKING:
    from fer_model.training.measurement.reports import Report


def evaluate(
    subject: Subject,
    data: Path,
    split: str,
    *,
    device: str,
    cache: Path | None,
    resize: bool = False,
    mirror: bool = False,
) -> "list[Report]":
    """The report on a model or an ensemble; with `mirror` a second one, of each face averaged with its mirror image.

    `data`, `split`, `cache` and `resize` are as in `read_faces`, `device` is auto, cpu or cuda:N.

    Raises:
        FerModelError: the device, the data or the weights cannot be used.
    """
    from fer_model.training.datasets.data import read_faces

    chosen = actual_device(device)
    faces = read_faces(data, split, cache, resize=resize)
    # Late, because torch takes seconds to load: a wrong path is reported first.
    from fer_model.training.measurement.reports import load_members, report

    return report(load_members(subject.members, chosen), subject.shares, subject.temperature, faces, mirror=mirror)


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
    """A report, with the keys that `fer-batch evaluate --json` prints, as a row outside of any database."""
    low, high = report["ci95"]
    figures = {name: report[name] for name in ("n", "accuracy", "macro_f1", "ece", "gmacs")}
    place = {"ensemble_id": owner.id} if isinstance(owner, Ensemble) else {"model_id": owner.id}
    return Evaluation(data=data, split=split, ci_low=low, ci_high=high, report=report, **figures, **place)


def _owner(session: Session, models_dir: Path, subject: Subject) -> Ensemble | Model | None:
    store.register(session, models_dir, store.shipped(models_dir))
    if subject.is_ensemble:
        return catalogue.find_ensemble(session, subject.name)
    return session.get(Model, subject.members[0].id)
