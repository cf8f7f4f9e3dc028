"""All evaluations, with the names of what they measured."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.tables import Ensemble, Evaluation, Model

MOST = 200


def all_evaluations(session: Session) -> list[tuple[Evaluation, str, str | None]]:
    """The newest evaluations, newest first: each with the name of its model or ensemble, and the model's recipe."""
    statement = (
        select(Evaluation, func.coalesce(Model.name, Ensemble.name), Model.recipe)
        .outerjoin(Model, Model.id == Evaluation.model_id)
        .outerjoin(Ensemble, Ensemble.id == Evaluation.ensemble_id)
        .order_by(Evaluation.id.desc())
        .limit(MOST)
    )
    return [(row, name, recipe) for row, name, recipe in session.execute(statement)]
