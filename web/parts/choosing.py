"""Choosing a job and one of its media, which the page's address then names."""

from collections.abc import Sequence

import streamlit as st
from sqlalchemy.orm import Session

from results.read.choosing import MOST, jobs_with_faces, media_named
from results.tables import Job, Media
from web.parts.names import file_name, job_name


def choose_job(session: Session) -> Job | None:
    """The job that the visitor chose, or the newest; None if there is none."""
    jobs = {job.id: job for job in jobs_with_faces(session)}
    linked = st.query_params.get("job")
    if linked and linked not in jobs and (job := session.get(Job, linked)):
        jobs[job.id] = job
    if not jobs:
        return None
    first = list(jobs).index(linked) if linked in jobs else 0
    chosen = st.selectbox("Job", list(jobs), index=first, format_func=lambda key: job_name(jobs[key]))
    st.query_params["job"] = chosen
    return jobs[chosen]


def choose_medium(session: Session, job: Job) -> Media | None:
    """The medium of the job that the visitor chose, or the first that has a length; None if there is none."""
    media = media_named(session, job.id)
    if len(media) == MOST:
        words = st.text_input("Find a file", placeholder="A part of its name", key=f"words-{job.id}")
        media = media_named(session, job.id, words)
    if not media:
        return None
    found = {str(medium.id): medium for medium in media}
    linked = st.query_params.get("medium")
    long = (str(medium.id) for medium in media if medium.kind != "image")
    first = list(found).index(linked if linked in found else next(long, str(media[0].id)))
    chosen = st.selectbox(_label(media), list(found), index=first, format_func=lambda key: _name(found[key]))
    st.query_params["medium"] = chosen
    return found[chosen]


def _label(media: Sequence[Media]) -> str:
    return f"File (the first {MOST} are listed)" if len(media) == MOST else "File"


def _name(medium: Media) -> str:
    """A file's name, or when an hour of a stream began."""
    return f"{medium.started_at:%d %b %Y, %H:%M} UTC" if medium.kind == "stream" else file_name(medium.uri)
