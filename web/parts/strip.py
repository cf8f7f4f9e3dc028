"""The last minute of a webcam: who shows what now, and a strip of colours for each."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from fer_model.rendering.palette import hex_colour
from web.live import LiveFigures, Person

STRIP_STYLE = """
.fer-strip table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
.fer-strip th, .fer-strip td { border: 0; padding: .3rem .8rem .3rem 0; text-align: left; font-weight: 400; }
.fer-strip thead th { font-size: .75rem; opacity: .75; white-space: nowrap; }
.fer-strip td.strip { width: 60%; min-width: 7rem; padding-right: 0; }
.fer-strip td.strip span { display: block; width: 100%; height: 1.1rem; border-radius: 3px; }
.fer-strip b { font-weight: 600; font-size: 1.05rem; }
@media (max-width: 600px) {
  .fer-strip th, .fer-strip td { padding-right: .5rem; }
  .fer-strip thead th { white-space: normal; vertical-align: bottom; line-height: 1.25; }
  .fer-strip td.strip { width: 40%; min-width: 5rem; }
}
.fer-strip p { font-size: .85rem; opacity: .75; margin: .4rem 0 0; }
"""


def strip(persons: Sequence[Person], figures: LiveFigures) -> str:
    """HTML: a row for each person with the emotion now, that of most of the minute, and the minute's colours."""
    if not persons:
        return '<div class="fer-strip"><p>No face in the last minute.</p></div>'
    rows = "".join(_row(person) for person in persons)
    speed = (
        f"<p>{figures.fps:.1f} frames a second, {figures.p50_ms:.0f} ms each (95%: {figures.p95_ms:.0f} ms), "
        f"{figures.dropped} dropped</p>"
    )
    return (
        '<div class="fer-strip" role="region" aria-label="Emotions now and in the last minute"><table><thead><tr>'
        '<th scope="col">Face</th><th scope="col">Now</th><th scope="col">Most of the minute</th>'
        f'<th scope="col">Last 60 seconds, now at the right</th></tr></thead><tbody>{rows}</tbody></table>'
        f"{speed if figures.fps else ''}</div>"
    )


HATCHED = "repeating-linear-gradient(135deg,rgb(128 128 128 / .28) 0 2px,transparent 2px 6px)"


def _colours(steps: Sequence[str | None]) -> str:
    """A CSS background: a colour for each step, hatched where the face was not seen."""
    stops, at = [], 0
    for emotion, run in groupby(steps):
        end = at + len(list(run))
        colour = hex_colour(emotion) if emotion else "transparent"
        stops.append(f"{colour} {100 * at / len(steps):.2f}% {100 * end / len(steps):.2f}%")
        at = end
    return f"linear-gradient(to right,{','.join(stops)}),{HATCHED}"


def _shares(person: Person) -> str:
    """The strip in words: the share of each emotion among the steps with a face."""
    seen = [emotion for emotion in person.steps if emotion]
    return ", ".join(f"{emotion} {count / len(seen):.0%}" for emotion, count in Counter(seen).most_common())


def _row(person: Person) -> str:
    now = f"<b>{person.emotion}</b> {person.confidence:.0%}" if person.emotion else "not in the picture"
    dominant, share = person.dominant
    drawing = f'<span role="img" aria-label="{_shares(person)}" style="background:{_colours(person.steps)}"></span>'
    return (
        f'<tr><th scope="row">{person.track_id}</th><td>{now}</td><td>{dominant}, {share:.0%} of it</td>'
        f'<td class="strip">{drawing}</td></tr>'
    )
