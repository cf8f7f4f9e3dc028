"""The page Analyse: the faces of photographs, each with what every network gave."""

from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

import streamlit as st

from fer_model.errors import FerModelError
from fer_model.networks.manifest import ModelSet
from fer_model.types import FaceObservation
from web.elements.drop import Dropped, drop, visit
from web.parts.face_table import FACE_STYLE, face_table
from web.parts.names import counted, plain
from web.parts.pictures import LOWEST, Analysed, analysed, as_csv, as_json, drawn, drawn_whole
from web.server import this_server

HINT = "Drop, choose or paste pictures. They stay on the server until you close the page, and nowhere else."
REMEDY = "Larger ones can be submitted as a job."


def page() -> None:
    """Draws the page."""
    st.title("Analyse")
    st.html(f"<style>{FACE_STYLE}</style>")
    _results()


@st.fragment
def _results() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control("Source", ["Files", "Camera"], default="Files", required=True)
        least = this_server().settings.detection_threshold
        threshold = st.slider("Detection threshold", LOWEST, 0.9, max(LOWEST, min(least, 0.9)), 0.01, key="threshold")
    is_camera = source == "Camera"
    given = _photograph() if is_camera else drop("Add pictures", HINT, key="pictures", accept="image/*")
    models = this_server().analyser()[1]
    shown = []
    for each in given:
        if picture := _analysis(each, models):
            faces = picture.faces_from(threshold)
            shown.append((picture, faces))
            _draw(each, picture, faces, models, threshold)
    if shown:
        _downloads(shown, models)


def _photograph() -> list[Dropped]:
    photograph = st.camera_input("Take a photograph")
    if photograph is None:
        return []
    path = st.session_state.get(key := f"photograph {photograph.file_id}")
    # An absence that ended the visit took it away.
    if path is None or not path.exists():
        path = this_server().uploads.new(visit(), "camera.jpg")
        path.write_bytes(photograph.getvalue())
        st.session_state[key] = path
    return [Dropped(photograph.file_id, "camera.jpg", path)]


def _analysis(given: Dropped, models: ModelSet) -> Analysed | None:
    """What the networks gave for a picture, kept for the visit; None, and a sentence on the page, if it is not one."""
    known: dict[str, Analysed | str] = st.session_state.setdefault("analysed", {})
    key = f"{given.number} {models.key}"
    if key not in known:
        with st.spinner(f"Analysing {plain(given.name)} …"):
            known[key] = _fresh(given)
    found = known[key]
    if isinstance(found, str):
        st.warning(plain(found))
        return None
    return found


def _fresh(given: Dropped) -> Analysed | str:
    try:
        with given.path.open("rb") as file:
            return analysed(file, given.name, this_server().analyser()[0])
    except FerModelError as error:
        return f"{error}. {REMEDY}" if "pixels" in str(error) else f"{error}."


def _draw(
    given: Dropped, picture: Analysed, faces: Sequence[FaceObservation], models: ModelSet, threshold: float
) -> None:
    st.subheader(plain(given.name), anchor=False)
    left, right = st.columns([11, 9], gap="medium")
    words = f"{counted(len(faces), 'face')}: " + ", ".join(face.emotion for face in faces)
    with left:
        source = b64encode(drawn(picture, faces)).decode()
        alternative = escape(f"{given.name}, {words}", quote=True)
        st.html(f'<img alt="{alternative}" src="data:image/jpeg;base64,{source}" style="width:100%;border-radius:8px">')
        if faces:
            _annotated(given, faces)
    with right:
        if not faces:
            st.info(
                f"No face scores {threshold:.2f} or more. Lower the threshold, or take a picture with larger faces: "
                "at least 16 pixels wide, and seen from the front."
            )
        else:
            st.html("".join(face_table(face, models) for face in faces))


def _annotated(given: Dropped, faces: Sequence[FaceObservation]) -> None:
    st.download_button(
        "Annotated PNG",
        partial(drawn_whole, given.path, faces),
        f"{Path(given.name).stem}-annotated.png",
        "image/png",
        key=f"png {given.number}",
        on_click="ignore",
    )


def _downloads(shown: Sequence[tuple[Analysed, Sequence[FaceObservation]]], models: ModelSet) -> None:
    with st.container(horizontal=True):
        st.download_button("All faces as JSON", partial(as_json, shown, models), "faces.json", on_click="ignore")
        st.download_button("All faces as CSV", partial(as_csv, shown, models), "faces.csv", on_click="ignore")
