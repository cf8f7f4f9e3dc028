"""What is taken away from a chart: its table and its pictures."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from results.emotions import AFFECT, EMOTIONS
from results.read.overview import Overview, Seen
from web.elements.timeline.data import chart
from web.parts.affect import points
from web.parts.downloads import table
from web.parts.figures import picture
from web.parts.series import shown, ticks


def seen(quality: float | None, **scores: float) -> Seen:
    return Seen(2, tuple(scores.get(name, 0.0) for name in EMOTIONS), max(scores.values()), quality)


HAPPY, SAD = seen(0.9, happy=0.75, neutral=0.25), seen(0.2, sad=1.0)
TRACK = {0: HAPPY, 1: HAPPY, 2: SAD, 4: SAD}
FRAMES = {0: 2, 1: 2, 2: 2, 4: 2, 5: 2, 6: 2}
VIEW = Overview(1000, 2000, 100, FRAMES, dict.fromkeys(FRAMES, 1.0), TRACK, {3: TRACK})
"""Two happy steps, three sad ones of low quality, of which one has no frame, two without a face, three skipped."""


def test_the_table_has_the_steps_as_they_are_and_nothing_for_a_gap() -> None:
    rows = table(shown(VIEW, None, 1000)).to_dicts()
    assert [row["seconds"] for row in rows] == pytest.approx([1.0, 1.1, 1.2, 1.4, 1.5, 1.6])
    assert [row["emotion"] for row in rows] == ["happy", "happy", "sad", "sad", None, None]
    assert rows[0]["happy"] == 0.75 and rows[4] == {"seconds": 1.5, "frames": 2, "faces": 0} | dict.fromkeys(
        ("emotion", *EMOTIONS, "confidence", "quality", *AFFECT)
    )
    assert rows[0]["valence"] == pytest.approx(0.75 * 0.81) and rows[2]["arousal"] == pytest.approx(-0.27)


def test_the_lines_of_affect_are_smoothed_last_to_the_end_of_a_stretch_and_break_behind_it() -> None:
    rows = points(shown(VIEW, None, 200), 3_600_000).to_dicts()
    valence = [row for row in rows if row["axis"] == "valence"]
    # The one step that is missing is no gap.
    assert [row["seconds"] for row in valence] == [3601.0, 3601.1, 3601.2, 3601.4, 3601.5]
    # The second of six steps is the mean of the first three.
    assert valence[1]["value"] == pytest.approx((2 * 0.75 * 0.81 - 0.63) / 3)
    assert valence[4]["value"] == valence[3]["value"] == pytest.approx(-0.63)

    apart = Overview(0, 1000, 100, dict.fromkeys(range(10), 1), {}, {0: HAPPY, 7: SAD, 9: SAD}, {})
    arousal = [row for row in points(shown(apart, None, 0), 0).to_dicts() if row["axis"] == "arousal"]
    assert [(row["seconds"], row["stretch"]) for row in arousal] == [(0, 0), (0.1, 0), (0.7, 1), (0.9, 1), (1, 1)]


def test_the_chart_has_gaps_low_quality_and_jumps() -> None:
    found = chart(shown(VIEW, None, 0))
    assert found["low"] == [(2, 3)] and found["faceless"] == [(5, 2)] and found["skipped"] == [(7, 3)]
    happy, sad = EMOTIONS.index("happy"), EMOTIONS.index("sad")
    assert found["lanes"] == [{"id": 3, "runs": [(0, 2, happy, False), (2, 3, sad, True)]}]
    assert found["jumps"] == {"change": [1200], "peak": [], "unsure": [], "gap": [1500, 1700]}
    assert found["words"][0] == "2 faces in 2 frames, quality 0.90"
    other = chart(shown(VIEW, 99, 0))
    assert other["steps"] == [] and other["lanes"] == []


def test_pictures_hold_the_chart() -> None:
    svg = ElementTree.fromstring(picture(shown(VIEW, None, 0), "a <clip> $x$.mp4", "svg", 0))
    text = ElementTree.tostring(svg, encoding="unicode")
    assert "#f0e442" in text and "#0072b2" in text and text.count("pattern") > 2

    pixels = np.asarray(Image.open(io.BytesIO(picture(shown(VIEW, None, 0), "clip", "png", 0))).convert("RGB"))
    yellow, blue = ((pixels == colour).all(axis=2).mean() for colour in ((240, 228, 66), (0, 114, 178)))
    # Two of ten steps are three quarters happy; three are sad, and hatched with white.
    assert 0.05 < yellow < 0.2 and 0.1 < blue < 0.35


def test_an_axis_names_round_times() -> None:
    assert list(ticks(1_200_000, 1_202_000, 8)) == list(range(1_200_000, 1_202_001, 500))
    assert list(ticks(100, 3_600_000, 8)) == [600_000 * n for n in range(1, 7)]
    assert list(ticks(5, 45, 8)) == [10, 20, 30, 40]


def test_labels_of_a_picture_are_times_of_the_clock_and_differ() -> None:
    # The texts of an SVG are shapes, each behind a comment with its words.
    words = re.findall("<!-- (.+?) -->", picture(shown(VIEW, None, 0), "a clip", "svg", 14 * 3_600_000).decode())
    times = [word for word in words if ":" in word]
    assert times[0] == "14:00:01" and times[-1] == "14:00:02" and len(times) == len(set(times)) > 4
