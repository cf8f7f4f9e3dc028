"""The catalogue of models, the ensembles made of them, and which ensemble is in use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from results.errors import NameTakenError, UnknownEnsembleError, UnknownModelError
from results.jobs import changed, utc_now
from results.tables import Ensemble, EnsembleMember, Evaluation, Job, Model, TrainingRun

ID_DIGITS = 12
TICK = timedelta(microseconds=1)


def add_model(
    session: Session,
    *,
    name: str,
    kind: str,
    sha256: str,
    architecture: str,
    source: str,
    recipe: str | None = None,
    job_id: str | None = None,
    licence: str | None = None,
    facts: dict[str, Any] | None = None,
) -> Model:
    """The row for the weights with this sha256: the existing one, or a new one from the other arguments.

    `kind` is one of `tables.MODEL_KINDS`, `source` of `tables.MODEL_SOURCES`. Idempotent, also in two processes at
    once.
    """
    model_id = sha256[:ID_DIGITS]
    if (known := session.get(Model, model_id)) is not None:
        return known
    origin = {"architecture": architecture, "source": source, "recipe": recipe, "job_id": job_id, "licence": licence}
    model = Model(id=model_id, sha256=sha256, name=name, kind=kind, facts=facts or {}, **origin)
    try:
        with session.begin_nested():
            session.add(model)
    except IntegrityError:
        return session.scalars(select(Model).where(Model.sha256 == sha256)).one()
    return model


def find_model(session: Session, reference: str) -> Model:
    """The model with this id, this prefix of the sha256, or this name.

    If there is none, the model of the training run with this id or name.

    Raises:
        UnknownModelError: no model matches, or several do.
    """
    if (model := session.get(Model, reference)) is not None:
        return model
    meant = or_(Model.sha256.startswith(reference, autoescape=True), Model.name == reference)
    found = session.scalars(select(Model).where(meant)).all() or _made_by(session, reference) if reference else []
    if len(found) > 1:
        raise UnknownModelError(f"Several models match '{reference}': {', '.join(m.id for m in found)}; type the id.")
    if not found:
        raise UnknownModelError(f"There is no model '{reference}'; `fer-batch models list` shows what there is.")
    return found[0]


def _made_by(session: Session, run: str) -> Sequence[Model]:
    runs = (
        select(TrainingRun.model_id).join(Job, Job.id == TrainingRun.job_id).where(or_(Job.id == run, Job.name == run))
    )
    return session.scalars(select(Model).where(Model.id.in_(runs))).all()


def list_models(session: Session) -> Sequence[Model]:
    """All models, newest first."""
    return session.scalars(select(Model).order_by(Model.created_at.desc(), Model.id)).all()


def add_ensemble(
    session: Session,
    *,
    name: str,
    detector: str,
    members: Sequence[tuple[str, float]],
    margin: float,
    temperature: float = 1.0,
    fitted_on: str | None = None,
) -> Ensemble:
    """A new ensemble of models in the catalogue; `members` are (model id, share), shares sum to 1.

    Raises:
        NameTakenError: there is an ensemble of this name; ensembles are immutable.
    """
    named = select(Ensemble.id).where(Ensemble.name == name)
    taken = NameTakenError(f"There is an ensemble '{name}' already; choose another name.")
    # Checked first: each failing INSERT is an error in PostgreSQL's log, and uses up an id.
    if session.scalar(named) is not None:
        raise taken
    ensemble = Ensemble(name=name, detector_id=detector, margin=margin, temperature=temperature, fitted_on=fitted_on)
    try:
        with session.begin_nested():
            session.add(ensemble)
    except IntegrityError as error:
        if session.scalar(named) is None:
            raise
        raise taken from error
    session.add_all(
        EnsembleMember(ensemble_id=ensemble.id, position=position, model_id=model_id, share=share)
        for position, (model_id, share) in enumerate(members)
    )
    session.flush()
    return ensemble


def find_ensemble(session: Session, name: str) -> Ensemble:
    """The ensemble of this name. Raises `UnknownEnsembleError`."""
    found = session.scalar(select(Ensemble).where(Ensemble.name == name))
    if found is None:
        raise UnknownEnsembleError(f"There is no ensemble '{name}'; `fer-batch models list` shows what there is.")
    return found


def list_ensembles(session: Session) -> Sequence[Ensemble]:
    """All ensembles, newest first."""
    return session.scalars(select(Ensemble).order_by(Ensemble.id.desc())).all()


def members_of(session: Session, ensemble: Ensemble) -> Sequence[tuple[Model, float]]:
    """The classifiers of an ensemble with their shares, in order."""
    statement = (
        select(Model, EnsembleMember.share)
        .join(EnsembleMember, EnsembleMember.model_id == Model.id)
        .where(EnsembleMember.ensemble_id == ensemble.id)
        .order_by(EnsembleMember.position)
    )
    return [(model, share) for model, share in session.execute(statement)]


def promote(session: Session, name: str) -> Ensemble:
    """Makes workers use an ensemble from their next shard on. Raises `UnknownEnsembleError`.

    Atomic: one row changes, so a worker sees the old ensemble or the new one, never a mixture.
    """
    ensemble = find_ensemble(session, name)
    before = promoted(session)
    now = utc_now(session)
    # The later promotion must win even if the clock was set back, or is too coarse to order the two.
    ensemble.promoted_at = max(now, before.promoted_at + TICK) if before and before.promoted_at else now
    session.flush()
    return ensemble


def demote_all(session: Session) -> None:
    """Makes workers use the shipped ensemble of this release again."""
    changed(session, update(Ensemble).where(Ensemble.promoted_at.is_not(None)).values(promoted_at=None))


def promoted(session: Session) -> Ensemble | None:
    """The promoted ensemble; None if none is promoted, and the shipped one is in use."""
    latest = select(Ensemble).where(Ensemble.promoted_at.is_not(None)).order_by(Ensemble.promoted_at.desc()).limit(1)
    return session.scalar(latest)


@dataclass(frozen=True, slots=True)
class InUse:
    """The ensemble in use, with (name, sha256) of its detector and of each classifier, in order."""

    id: int
    name: str
    is_promoted: bool
    margin: float
    temperature: float
    detector: tuple[str, str]
    members: Sequence[tuple[str, str]]
    shares: Sequence[float]


def in_use(session: Session, shipped: str) -> InUse | None:
    """The promoted ensemble, else the one called `shipped`; None if that is not in the catalogue. One statement."""
    rows = session.execute(_IN_USE, {"shipped": shipped}).all()
    if not rows:
        return None
    key, name, promoted_at, margin, temperature, *detector = rows[0][:7]
    members, shares = [row[7:9] for row in rows], [row[9] for row in rows]
    return InUse(key, name, promoted_at is not None, margin, temperature, tuple(detector), members, shares)


def add_evaluation(session: Session, evaluation: Evaluation) -> None:
    """Stores an evaluation."""
    session.add(evaluation)
    session.flush()


def list_evaluations(
    session: Session, *, model: str | None = None, ensemble: int | None = None
) -> Sequence[Evaluation]:
    """The evaluations of one model or one ensemble, newest first."""
    subject = Evaluation.model_id == model if model else Evaluation.ensemble_id == ensemble
    return session.scalars(select(Evaluation).where(subject).order_by(Evaluation.id.desc())).all()


def training_of(session: Session, model_id: str) -> TrainingRun | None:
    """The training run that made a model; None if none in this database did."""
    return session.scalars(select(TrainingRun).where(TrainingRun.model_id == model_id)).first()


# Executed for each shard, so built once: building it takes SQLAlchemy longer than the database needs to answer.
_first = (
    select(Ensemble.id)
    .where(or_(Ensemble.promoted_at.is_not(None), Ensemble.name == bindparam("shipped")))
    .order_by(Ensemble.promoted_at.desc().nulls_last())
    .limit(1)
)
_ensembles, _members = Ensemble.__table__.c, EnsembleMember.__table__.c
_detectors, _classifiers = Model.__table__.alias("detectors"), Model.__table__.alias("classifiers")
_IN_USE = (
    select(
        *(_ensembles[name] for name in ("id", "name", "promoted_at", "margin", "temperature")),
        *(_detectors.c.name, _detectors.c.sha256, _classifiers.c.name, _classifiers.c.sha256, _members.share),
    )
    .join(_detectors, _detectors.c.id == _ensembles.detector_id)
    .join(EnsembleMember.__table__, _members.ensemble_id == _ensembles.id)
    .join(_classifiers, _classifiers.c.id == _members.model_id)
    .where(_ensembles.id == _first.scalar_subquery())
    .order_by(_members.position)
)
