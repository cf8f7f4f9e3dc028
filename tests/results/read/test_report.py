"""The report: its content, that it is self-contained, and its layout in a real browser."""

import io
import json
import re
from datetime import UTC
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database

from fer_model.rendering.palette import hex_colour
from results.closing import close_job
from results.database import reading, writing
from results.emotions import EMOTIONS
from results.plans import MediaPlan, ShardPlan
from results.read.parts import Part
from results.read.report import facts
from results.read.report.page import write_report
from results.shards import complete
from tests.support.answers_job import add_job, film
from tests.support.browser import seen_in_browser
from tests.support.rows import new_job, take

PALETTE = {emotion: hex_colour(emotion) for emotion in EMOTIONS}


def page_of(database: Database, job_id: str, **options: object) -> str:
    file = io.StringIO()
    with reading(database) as session:
        write_report(session, job_id, file, **({"palette": PALETTE} | options))  # type: ignore[arg-type]
    return file.getvalue()


def test_everything_stands_in_it(database: Database) -> None:
    page = page_of(database, add_job(database), notes=["one thing to know"], limits={"our-model": "sees no beards"})
    for text in (
        "interview one.mp4", "face.jpg", "second.mp4", "81</b> faces", "is not a video (unknown format)",
        "one thing to know", "our-model", "sees no beards", "AI Act", "#0", "#1",
        "frames with a face", "expression, not a feeling",
    ):  # fmt: skip
        assert text in page, text
    assert page.count('<article class="medium"') == 2, "one for each video"
    assert page.count('class="plot lane"') == 4


def test_the_pictures_show_the_numbers(database: Database) -> None:
    page = page_of(database, add_job(database))
    article = page[page.index('<article class="medium"') : page.index("</article>")]
    stacked = article[article.index("plot emotions") : article.index("plot faces")]
    # One of two people is happy with 0.9 and then with 0.1: means of 45 % and 5 %.
    happy = stacked.partition('class="happy"')[2].partition("</path>")[0]
    heights = [float(height) for height in re.findall(r"v([\d.]+)h-1z", happy)]
    assert heights[:15] == [45.0] * 15 and heights[15:] == [5.0] * 15
    # Means of happy 0.45, sad 0.05, angry 0.15 and then 0.05, 0.45, 0.15, from 1 (at 0) to -1 (at 100).
    affect = article[article.index("plot affect") : article.index("plot faces")]
    for name, wanted in (("valence", ["37.2", "66.0"]), ("arousal", ["34.8", "50.4"])):
        line = affect.partition(f'class="{name}"')[2].partition("</path>")[0]
        assert re.findall(r"[V ]([\d.]+)h1", line) == [wanted[0]] * 15 + [wanted[1]] * 15 and line.count("M") == 1
    assert "a projection of the probabilities, not a measurement" in article
    lanes = article[article.index("plot lane") :]
    assert 'class="happy"' in lanes and 'class="sad"' in lanes and 'class="neutral"' in lanes


def test_its_colours_are_those_of_the_callers_palette(database: Database) -> None:
    palette = {emotion: f"#00000{digit}" for digit, emotion in enumerate(EMOTIONS)}
    page = page_of(database, add_job(database), palette=palette)
    style = page.partition("<style>")[2].partition("</style>")[0]
    light = style.partition("prefers-color-scheme: dark")[0]
    for emotion, colour in palette.items():
        assert re.findall(rf"--{emotion}: ([^;]+);", light) == [colour]


def test_it_loads_nothing(database: Database) -> None:
    page = page_of(database, add_job(database))
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)|url\(|@import|fetch\(|https?://""", page)
    assert "default-src 'none'" in page


def test_names_of_files_are_no_html(database: Database) -> None:
    media = [MediaPlan("/srv/<script>alert(1)</script>.mp4", "video", state="failed", error="<b>torn</b>")]
    with writing(database) as session:
        job_id = new_job(session, media, [])
        session.flush()
    page = page_of(database, job_id, notes=["<i>"])
    assert "<script>alert" not in page and "<b>torn" not in page and "<i>" not in page.replace('<i class="', "")
    assert "&lt;b&gt;torn" in page


def test_a_job_that_has_found_nothing_yet(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("/srv/film.mp4", "video")], [ShardPlan(0, 0, 10, video=True)])
    page = page_of(database, job_id)
    assert "No face was found." in page and "No video was processed." in page and "not yet" in page


@pytest.mark.parametrize("hours", [0.01, 1, 12])
def test_a_video_takes_no_more_room_for_being_long(database: Database, hours: float) -> None:
    seconds = round(hours * 3600)
    step = max(1, seconds // 400)
    with writing(database) as session:
        media = [MediaPlan("/srv/long.mp4", "video", duration_ms=seconds * 1000)]
        job_id = new_job(session, media, [ShardPlan(0, 0, seconds, video=True, start_ms=0)])
        frames, faces = film(1, seconds // step)
        for row in (*frames, *faces):
            row["time_ms"] = row["frame_index"] * 1000 * step
        for row in faces:
            row["track_id"] = row["frame_index"] // 10
        complete(session, take(session, 1), frames, faces)
    with writing(database) as session:
        close_job(session, job_id)
    assert len(page_of(database, job_id)) < 60_000


def test_a_video_that_was_looked_at_rarely_has_no_false_gaps(database: Database) -> None:
    """64 seconds at a frame a second: with steps of half a second every second one would be empty."""
    with writing(database) as session:
        media = [MediaPlan("/srv/slow.mp4", "video", duration_ms=64_000)]
        job_id = new_job(session, media, [ShardPlan(0, 0, 64, video=True, start_ms=0)])
        frames, faces = film(1, 64)
        for row in (*frames, *faces):
            row["time_ms"] = row["frame_index"] * 1000
        complete(session, take(session, 1), frames, faces)
    page = page_of(database, job_id)
    stacked = page[page.index("plot emotions") : page.index("plot faces")]
    assert "per 1 s" in page and max(each.count("M") for each in stacked.split("</path>")) <= 64
    with reading(database) as session:
        (medium,) = facts.media_of_report(session, Part(job_id), UTC)
        series = facts.series_of(session, job_id, medium, many=False)
    assert series is not None and series.step_ms == 1000 and sorted(series.rows) == list(range(64))


def test_of_more_failures_than_are_listed_all_are_counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.read.status.MAX_ERRORS", 2)
    broken = [MediaPlan(f"/srv/{n}.jpg", "image", state="failed", error="is no picture") for n in range(5)]
    with writing(database) as session:
        job_id = new_job(session, [*broken, MediaPlan("/srv/good.jpg", "image")], [ShardPlan(5, 5, 1)])
    page = page_of(database, job_id)
    assert "<b>5</b> files that failed or have a note" in page and "And 3 more; they are in the table media." in page


def test_of_too_many_files_the_first_ones_are_shown(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "LISTED", 2)
    page = page_of(database, add_job(database))
    assert "2 more files are not listed here" in page and "torn.mp4</td>" not in page.split("Files that failed")[0]


LOOK = """JSON.stringify({
  wide: document.documentElement.scrollWidth, room: innerWidth,
  fill: getComputedStyle(document.querySelector("path.happy")).fill,
  plot: Math.round(document.querySelector(".plot.emotions svg").getBoundingClientRect().width),
  order: (document.querySelector("th button").click(),
          [...document.querySelectorAll("tbody")[0].rows].map((row) => row.cells[0].textContent)),
})"""


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_a_desktop(database: Database, tmp_path: Path, width: int) -> None:
    page = tmp_path / "report.html"
    page.write_text(page_of(database, add_job(database)))
    result, complaints = seen_in_browser(page, tmp_path, LOOK, width)
    seen = json.loads(result)
    assert complaints == ""
    assert seen["room"] in range(width - 20, width + 1) and seen["wide"] <= seen["room"], "nothing sticks out"
    assert seen["fill"] == "rgb(240, 228, 66)", "the styles are there"
    assert seen["plot"] > 0.6 * min(width, 1080)
    assert seen["order"] == ["torn.mp4", "second.mp4", "interview one.mp4", "face.jpg"], "sorted by a click"
