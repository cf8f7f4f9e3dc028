"""Choosing a job and one of its media, which the page's address then names."""

import re
from collections.abc import Sequence

import streamlit as st
from sqlalchemy.orm import Session

from results.read.choosing import MOST, jobs_with_faces, media_named
from results.tables import Job, Media
from web.parts.names import folder_name, job_name, medium_name, told_apart


def choose_job(session: Session) -> Job | None:
    """The job that the visitor chose, or the newest; None if there is none."""
    jobs = {job.id: job for job in jobs_with_faces(session)}
    linked = st.query_params.get("job")
    if linked and linked not in jobs and (job := session.get(Job, linked)):
        jobs[job.id] = job
    if not jobs:
        return None
    first = list(jobs).index(linked) if linked in jobs else 0
    names = told_apart({key: job_name(job) for key, job in jobs.items()}, lambda key: key[-4:], str)
    chosen = st.selectbox("Job", list(jobs), index=first, format_func=names.__getitem__)
    st.query_params["job"] = chosen
    return jobs[chosen]


def choose_medium(session: Session, job: Job) -> Media | None:
    """The medium of the job that the visitor chose, or the first that has a length; None if none is offered."""
    label, media = _offered(session, job)
    if not media:
        return None
    found = {str(medium.id): medium for medium in media}
    linked = st.query_params.get("medium")
    long = (key for key, medium in found.items() if medium.kind != "image")
    first = list(found).index(linked if linked in found else next(long, str(media[0].id)))
    names = told_apart(
        {key: medium_name(medium) for key, medium in found.items()},
        lambda key: folder_name(found[key].uri),
        lambda key: f"{found[key].position:05d}",
    )
    chosen = st.selectbox(label, list(found), index=first, format_func=names.__getitem__)
    st.query_params["medium"] = chosen
    return found[chosen]


def _offered(session: Session, job: Job) -> tuple[str, Sequence[Media]]:
    """The list's label and its media; of many, those that the visitor looks for. It says why there is none."""
    media = media_named(session, job.id)
    if not media:
        st.info("No file of this job could be read. The page Jobs gives the reasons.")
    if len(media) < MOST:
        return "File", media
    label = f"File (the first {MOST} are listed)"
    example = "26 Nov 2026, 14" if job.kind == "stream" else "A part of its name"
    words = st.text_input("Find a file", placeholder=example, key=f"words-{job.id}")
    if not words:
        return label, [*media, *_linked(session, job, media)]
    media = _found(session, job, words)
    if not media:
        # An alert would take the words for Markdown.
        st.text(f"No file's name contains {words}.")
    return label if len(media) == MOST else "File", media


def _found(session: Session, job: Job, words: str) -> Sequence[Media]:
    if job.kind != "stream":
        return media_named(session, job.id, words)
    # What tells hours apart is no text of the database.
    hours = media_named(session, job.id, most=None)
    return [hour for hour in hours if words.lower() in medium_name(hour).lower()][:MOST]


def _linked(session: Session, job: Job, media: Sequence[Media]) -> list[Media]:
    """The medium that the page's address names, if it is one of the job and not among `media`."""
    linked = st.query_params.get("medium", "")
    medium = session.get(Media, int(linked)) if re.fullmatch("[0-9]{1,9}", linked) else None
    return [medium] if medium and medium.job_id == job.id and medium not in media else []
