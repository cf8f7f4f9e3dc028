"""Jobs and media to choose from: a few of possibly millions."""

from collections.abc import Sequence

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from results.tables import Job, Media

MOST = 200
"""Most entries of a list."""

WITH_FACES = ("batch", "stream")


def jobs_with_faces(session: Session) -> Sequence[Job]:
    """The newest jobs that analyse pictures, newest first."""
    return session.scalars(select(Job).where(Job.kind.in_(WITH_FACES)).order_by(Job.id.desc()).limit(MOST)).all()


def media_named(session: Session, job_id: str, words: str = "", most: int | None = MOST) -> Sequence[Media]:
    """The first `most` media of a job that did not fail and whose address contains `words`, in any case.

    Of a stream, whose hours have one address, the newest come first.
    """
    order = case((Media.kind == "stream", -Media.position), else_=Media.position)
    wanted = select(Media).where(Media.job_id == job_id, Media.state != "failed").order_by(order)
    if words:
        wanted = wanted.where(func.lower(Media.uri).contains(words.lower(), autoescape=True))
    return session.scalars(wanted.limit(most)).all()
