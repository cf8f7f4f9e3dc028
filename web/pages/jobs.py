"""The page Jobs: submitting a folder of the server or uploaded files, and following what was submitted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import streamlit as st

from fer_model.errors import FerModelError
from fer_model.sources.discover import PassedOver
from fer_model.sources.roots import lies_below
from web.elements.drop import drop
from web.errors import WebError
from web.parts import job_list
from web.parts.failures import one_sentence
from web.parts.names import counted, plain
from web.parts.queue import queue
from web.server import this_server
from workers.batch.planning import BatchOptions
from workers.batch.submitting import submit
from workers.errors import WorkersError
from workers.queue.broker import check_broker

EVERY_S = 2.0
UPLOAD, FOLDER = "Upload", "Folder of the server"
HINT = "Drop or choose videos and photographs. Once submitted they stay on the server until they are deleted there."


def page() -> None:
    """Draws the page."""
    st.title("Jobs")
    _form()
    if done := st.session_state.get("submitted"):
        st.success(done)
    st.subheader("Submitted")
    st.fragment(job_list.draw, run_every=EVERY_S)()


def _form() -> None:
    sources = [FOLDER, UPLOAD] if this_server().may_submit_paths else [UPLOAD]
    source = st.segmented_control("What to analyse", sources, default=sources[0], required=True)
    if source == FOLDER:
        roots = this_server().roots
        below = f"Below {', '.join(roots)}" if roots else "/srv/videos"
        path = st.text_input("Folder, file or pattern on the server", placeholder=below)
        paths = [path] if path else []
    else:
        files = drop("Add files", HINT, key=f"files-{_uploads()}", accept="video/*,image/*")
        paths = [str(file.path) for file in files]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of the job", max_chars=100, placeholder="optional")
        fps = st.number_input("Frames per second", 0.0, 1000.0, 0.0, 1.0, format="%g", help="0 looks at every frame.")
        is_quick = st.toggle("Quick", help="Looks for faces where a video changes, and follows them in between.")
        pressed = st.button("Submit", type="primary", disabled=not paths)
    if pressed and paths:
        st.session_state.pop("submitted", None)
        with one_sentence(), st.spinner("Listing the files"):
            _submit(paths, name, fps or None, is_quick, is_upload=source == UPLOAD)
            st.rerun()


def _submit(paths: Sequence[str], name: str, fps: float | None, is_quick: bool, *, is_upload: bool) -> None:
    server = this_server()
    kept: list[tuple[Path, Path]] = []
    detect_every: Literal[1, "auto"] = "auto" if is_quick else 1
    threshold = server.settings.detection_threshold
    options = BatchOptions(fps=fps, detection_threshold=threshold, detect_every=detect_every)
    passed_over = PassedOver()
    try:
        if is_upload:
            check_broker(queue())
            for path in map(Path, paths):
                kept.append((_kept(path), path))
            paths = [str(path) for path, _ in kept]
        job = submit(queue(), server.database, paths, options, name=name or None, passed_over=passed_over)
    except (FerModelError, WorkersError, WebError, OSError):
        # The visitor may try again without uploading again. After an error of the database there may be a job.
        for each in kept:
            server.uploads.give_back(*each)
        raise
    # A new place for uploads, without the files that the job has now.
    st.session_state["uploads"] = _uploads() + is_upload
    more = f" Passed over: {plain(passed)}." if (passed := passed_over.sentence()) else ""
    st.session_state["submitted"] = f"Job {job.job} has {counted(job.media, 'file')}.{more}"


def _uploads() -> int:
    """How many times this visitor submitted uploads."""
    return int(st.session_state.get("uploads", 0))


def _kept(path: Path) -> Path:
    """An uploaded file where it outlives the visit. Raises `WebError` if workers may not read it there."""
    server = this_server()
    if server.roots and not any(lies_below(str(path), root) for root in server.roots):
        raise WebError("Uploads lie outside FER_MEDIA_ROOTS; set FER_UPLOADS_DIR to a folder below it.")
    return server.uploads.keep(path)
