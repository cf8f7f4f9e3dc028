"""The page Timeline: one medium of a job over time."""

from functools import partial
from typing import Any

import streamlit as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fer_model.errors import UnreadableMediaError
from fer_model.sources.roots import check_permitted
from results.database import reading
from results.jobs import UNFINISHED
from results.read.faces import step_ms
from results.read.overview import overview
from results.tables import Frame, Job, Media, Shard
from web.elements import timeline
from web.elements.timeline.data import chart
from web.parts import affect, downloads, markers, spans
from web.parts.choosing import choose_job, choose_medium
from web.parts.series import shown
from web.server import this_server

SMOOTH_S = (0.0, 0.5, 1.0, 2.0, 5.0)
ALL = "All faces"
EVERY_S = 3.0

Progress = tuple[str, int, int | None]
"""A job's state, its shards that are done, and the time of a medium's last processed frame in ms."""


def page() -> None:
    """Draws the page."""
    st.title("Timeline")
    with reading(this_server().database) as session:
        left, right, narrow, last = st.columns([3, 3, 2, 2])
        with left:
            job = choose_job(session)
        if job is None:
            st.info("There is no job yet. Submit a folder or a video on the page Jobs.")
            return
        with right:
            medium = choose_medium(session, job)
        if medium is None:
            return
        state = _progress(session, job.id, medium.id)
        # Above the chart, where what it says is seen.
        if state is None or state[0] in UNFINISHED:
            _refresh(job.id, medium.id, state)
        if state is not None:
            _draw(session, medium, state, narrow, last)


@st.fragment(run_every=EVERY_S)
def _refresh(job_id: str, media_id: int, drawn: Progress | None) -> None:
    """Draws the page anew when more of an unfinished job is there than was drawn."""
    with reading(this_server().database) as session:
        now = _progress(session, job_id, media_id)
    if now is None:
        st.info("The job was deleted.")
    elif now != drawn:
        st.rerun()


def _progress(session: Session, job_id: str, media_id: int) -> Progress | None:
    """How far a job and one of its media are; None of a job that was deleted."""
    done = select(func.count()).where(Shard.job_id == job_id, Shard.state == "done").scalar_subquery()
    newest = select(Frame.time_ms).where(Frame.media_id == media_id).order_by(Frame.frame_index.desc()).limit(1)
    found = session.execute(select(Job.state, done, newest.scalar_subquery()).where(Job.id == job_id)).one_or_none()
    if found is None:
        return None
    state, shards, time_ms = found
    return state, shards, time_ms


def _draw(session: Session, medium: Media, progress: Progress, narrow: Any, last: Any) -> None:
    key = f"timeline-{medium.id}"
    span, zoomed = timeline.state(key)
    length = length_ms(session, medium)
    first = first_ms(session, medium)
    part = zoomed or (first, length)
    view = overview(session, medium.id, *part)
    tracks = sorted(view.tracks, key=lambda track: -len(view.tracks[track]))
    chosen = narrow.selectbox("Track", [ALL, *(f"#{track}" for track in tracks)], key=f"track-{medium.id}")
    track_id = None if chosen == ALL else int(chosen[1:])
    smooth_s = last.selectbox("Smoothed over", SMOOTH_S, index=2, format_func=lambda seconds: f"{seconds:g} s")
    facts = _facts(session, medium, length) | {"first": first, "whole": zoomed is None, "progress": progress}
    seen = shown(view, track_id, round(1000 * smooth_s))
    timeline.draw(key, chart(seen) | facts, partial(markers.add, medium.id))
    if not view.frames:
        st.info("No frame of this file is processed yet.")
        return
    origin = origin_ms(medium)
    affect.draw(seen, origin)
    markers.draw(session, medium, origin)
    spans.draw(session, medium, span or part, track_id, origin)
    downloads.draw(session, medium, seen, origin)


def length_ms(session: Session, medium: Media) -> int:
    """The length of a medium: what its file says, or up to its last processed frame."""
    if medium.duration_ms:
        return medium.duration_ms
    last = session.scalars(select(func.max(Frame.time_ms)).where(Frame.media_id == medium.id)).one()
    return (last or 0) + step_ms(session, medium.id, 40)


def first_ms(session: Session, medium: Media) -> int:
    """Where a timeline begins: at the first processed frame of a stream's hour, which may have begun in its middle."""
    if medium.kind != "stream":
        return 0
    return session.scalars(select(func.min(Frame.time_ms)).where(Frame.media_id == medium.id)).one() or 0


def origin_ms(medium: Media) -> int:
    """What clocks show at the beginning: the UTC time of day of a stream's hour, else 0."""
    began = medium.started_at if medium.kind == "stream" else None
    return 0 if began is None else 1000 * (3600 * began.hour + 60 * began.minute + began.second)


def _facts(session: Session, medium: Media, length: int) -> dict[str, Any]:
    """What the element needs to know besides the chart."""
    reason = _without_picture(medium)
    pause = step_ms(session, medium.id, 40)
    return {
        "medium": medium.id,
        "length": length,
        "origin": origin_ms(medium) if medium.kind == "stream" else None,
        "size": [medium.width, medium.height] if medium.width and medium.height else None,
        "frame": 1000 / medium.fps if medium.fps else pause,
        "pause": pause,
        "source": None if reason else f"/fer/media/{medium.id}",
        "reason": reason,
        "still": medium.kind == "image",
        "boxes": f"/fer/boxes/{medium.id}",
        "marks": markers.marks(session, medium.id),
        "markable": medium.kind != "image",
    }


def _without_picture(medium: Media) -> str | None:
    """Why there is no picture; None if there is one."""
    if medium.kind == "stream":
        return "Nothing of a stream is kept but its figures."
    try:
        check_permitted(medium.address, this_server().roots)
    except UnreadableMediaError:
        return "The file lies outside FER_MEDIA_ROOTS. The chart works without it."
    return None
