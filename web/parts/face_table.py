"""A face's probabilities as a table with bars: the chart is its own table."""

from collections.abc import Sequence
from html import escape

from fer_model.networks.manifest import ModelSet
from fer_model.rendering.palette import hex_colour
from fer_model.types import EMOTIONS, FaceObservation

FACE_STYLE = """
.fer-face { margin: 0 0 1.4rem; }
.fer-face h3 { font-size: 1.05rem; font-weight: 600; margin: 0; padding: 0; }
.fer-face p { margin: .1rem 0 .5rem; font-size: .85rem; opacity: .75; }
.fer-scroll { overflow-x: auto; }
.fer-face table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
.fer-face th, .fer-face td { padding: .16rem .5rem .16rem 0; border: 0; text-align: left; font-weight: 400; }
.fer-face thead th { font-size: .75rem; opacity: .75; vertical-align: bottom; }
.fer-face td.bar { width: 99%; min-width: 5rem; }
.fer-face td.bar span { display: block; height: .72rem; border-radius: 2px; min-width: 1px;
  box-shadow: inset 0 0 0 1px rgb(0 0 0 / .18); }
.fer-face td.number { text-align: right; white-space: nowrap; }
.fer-face th.number { text-align: right; max-width: 7rem; min-width: 4.8rem; line-height: 1.25; padding-left: .4rem; }
.fer-face .top { font-weight: 600; }
"""


def face_table(face: FaceObservation, models: ModelSet) -> str:
    """HTML: the emotion, the scores, and a row for each emotion: the ensemble's bar, and what each network gave."""
    members = [face.members[member.id] for member in models.members]
    heads = "".join(
        f'<th class="number" scope="col">{escape(member.name)}<br>weight {share:.2f}</th>'
        for member, share in zip(models.members, models.shares, strict=True)
    )
    rows = "".join(_row(name, number, face, members) for number, name in enumerate(EMOTIONS))
    return (
        f'<div class="fer-face"><h3>Face {face.track_id}: {face.emotion}, {face.confidence:.0%}</h3>'
        f"<p>Detection score {face.detection_score:.2f} · quality {face.quality:.2f}</p>"
        '<div class="fer-scroll"><table><thead><tr><th scope="col">Emotion</th><th scope="col"></th>'
        f'<th class="number" scope="col">Ensemble</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div></div>'
    )


def _row(name: str, number: int, face: FaceObservation, members: Sequence[Sequence[float]]) -> str:
    share = face.probabilities[number]
    cells = "".join(_cell(own[number], max(own) == own[number]) for own in members)
    bar = f'<span style="width:{100 * share:.1f}%;background:{hex_colour(name)}"></span>'
    ensemble = _cell(share, name == face.emotion)
    return f'<tr><th scope="row">{name}</th><td class="bar" aria-hidden="true">{bar}</td>{ensemble}{cells}</tr>'


def _cell(value: float, is_top: bool) -> str:
    return f'<td class="number{" top" if is_top else ""}">{value:.1%}</td>'
