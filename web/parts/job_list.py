"""The jobs, those that are not finished first: state, progress, errors, and what can be done with them."""

from functools import partial
from typing import Literal

import streamlit as st

from results.database import reading, writing
from results.jobs import UNFINISHED, get_job, pressing_jobs
from results.printable import shown
from results.read.choosing import WITH_FACES
from results.read.notes import notes
from results.read.status import JobStatus, job_statuses, sentence
from results.streams import end_job
from web.parts.failures import one_sentence
from web.parts.names import counted, job_title, plain, state_name
from web.parts.queue import queue
from web.recording import QUEUE
from web.server import this_server
from workers.queue.broker import BROKER_ERRORS
from workers.queue.dispatching import advance, reopen

MOST, ERRORS = 30, 100
COLOURS: dict[str, Literal["blue", "gray", "red"]] = {
    "running": "blue",
    "queued": "gray",
    "done": "gray",
    "failed": "red",
    "cancelled": "gray",
}


def draw() -> None:
    """Draws the list."""
    with reading(this_server().database) as session:
        found, total = pressing_jobs(session, MOST)
        jobs = {job.id: job for job in found}
        statuses = job_statuses(session, list(jobs))
        titles = {key: job_title(job) for key, job in jobs.items()}
        moments = {key: f"{job.created_at:%d %b %Y, %H:%M} UTC" for key, job in jobs.items()}
    if not statuses:
        st.info("There is no job yet.")
    for status in statuses:
        with st.container(border=True, key=f"job-{status.job}"):
            _draw(status, titles[status.job], moments[status.job], is_recording=jobs[status.job].queue == QUEUE)
    if len(jobs) < total:
        listed = f"The unfinished and the newest jobs, {len(jobs):,} of {total:,}"
        st.caption(f"{listed}; `fer-batch jobs --limit {total}` lists all.")


def _draw(status: JobStatus, title: str, moment: str, *, is_recording: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(title)}**", width="content")
        st.badge(state_name(status.kind, status.state), color=COLOURS[status.state])
        st.caption(f"{status.kind} · {moment} · {status.job}", width="stretch")
        _buttons(status, may_retry=not is_recording)
    if status.kind == "train":
        st.caption("The page Models shows its curves.")
    elif status.state in UNFINISHED and status.planned_frames:
        st.progress(min(1.0, status.frames / status.planned_frames), text=_progress(status))
    else:
        media = counted(status.media, "hour" if status.kind == "stream" else "file")
        figures = (media, counted(status.frames, "frame"), counted(status.faces, "face"))
        st.caption(" · ".join(figures))
    if found := [*([status.error] if status.error else []), *_sentences(status)]:
        with st.expander(status.failures or counted(len(found), "note")):
            # A grid would show the beginning of each alone on a telephone, and an element for each would be too many.
            st.text("\n\n".join(found))


def _progress(status: JobStatus) -> str:
    left = "" if status.eta_seconds is None else f" · {status.eta_seconds:,.0f} s left"
    return f"{status.frames:,} of {status.planned_frames:,} frames · {status.fps:,.1f} a second{left}"


def _buttons(status: JobStatus, *, may_retry: bool) -> None:
    if status.kind in WITH_FACES and status.faces:
        link = f'<a class="fer-link" href="/timeline?job={status.job}" target="_self">Timeline</a>'
        st.html(link, width="content")
    is_open = status.state in UNFINISHED
    can_retry = not is_open and bool(status.failed or status.shards["failed"] or status.state == "cancelled")
    if is_open or can_retry:
        # Both: a button that takes the place of another moves under the pointer, and the press is lost.
        cancel, again = partial(_cancel, status.job), partial(_retry, status.job)
        st.button("Cancel", key=f"cancel-{status.job}", on_click=cancel, disabled=not is_open)
        st.button("Retry", key=f"retry-{status.job}", on_click=again, disabled=not (can_retry and may_retry))


def _sentences(status: JobStatus) -> list[str]:
    """Why files failed, and notes about others."""
    missing = [note for note in notes(status) if status.state == "cancelled"]
    return [shown(each) for each in (*missing, *map(sentence, status.errors[:ERRORS]))]


def _cancel(job_id: str) -> None:
    with one_sentence(st.toast), writing(this_server().database) as session:
        end_job(session, get_job(session, job_id))


def _retry(job_id: str) -> None:
    with one_sentence(st.toast):
        app, database = queue(), this_server().database
        reopen(app, database, job_id)
        try:
            advance(app, database, job_id)
        except BROKER_ERRORS:
            st.toast("The queue cannot be reached; the workers take the job up once it is back.")
