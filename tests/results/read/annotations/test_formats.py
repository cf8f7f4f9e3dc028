"""Files of annotations, read back with the libraries of the programs they are for."""

import io
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pytest
from praatio import textgrid as praat
from pympi import Eaf

from results.errors import TimelineError
from results.read.annotations import boris
from results.read.annotations.eaf import eaf
from results.read.annotations.textgrid import textgrid
from results.read.annotations.tiers import Annotated, Mark, layers
from results.read.subtitles import Span
from tests.support.excel import read_excel

MARKS = (
    Mark(1500, None, "laughs", 'he said "no" & <left>'),
    Mark(500, 2500, "talks"),
    Mark(2000, 2600, "looks away\nand back"),
    Mark(1500, None, "blinks"),
)
VIDEO = Annotated(
    "/srv/talks & more/Gespräch 1.mp4",
    4000,
    {
        0: [Span(0, 1200, 0, "neutral"), Span(1200, 3400, 0, "happy")],
        7: [Span(1001, 2000, 7, "sad"), Span(3000, 3040, 7, "sad")],
    },
    MARKS,
)
NOBODY = Annotated("https://example.org/a/b.webm", 1000, {})


def test_elan_reads_a_tier_for_each_track_and_the_markers(tmp_path: Path) -> None:
    path = tmp_path / "video.eaf"
    path.write_bytes(eaf(VIDEO, datetime(2026, 1, 2, tzinfo=UTC)))
    document = Eaf(str(path), suppress_version_warning=True)
    tiers = {name: document.get_annotation_data_for_tier(name) for name in document.get_tier_names()}
    assert {name: sorted(entries, key=str) for name, entries in tiers.items()} == {
        "track 0": [(0, 1200, "neutral"), (1200, 3400, "happy")],
        "track 7": [(1001, 2000, "sad"), (3000, 3040, "sad")],
        "markers": [(500, 2500, "talks")],
        "markers 2": [(1500, 1540, "blinks"), (2000, 2600, r"looks away\nand back")],
        "markers 3": [(1500, 1540, 'laughs: he said "no" & <left>')],
    }
    (medium,) = document.media_descriptors
    assert medium["MEDIA_URL"] == "file:///srv/talks%20%26%20more/Gespr%C3%A4ch%201.mp4"
    assert medium["RELATIVE_MEDIA_URL"] == "./Gespr%C3%A4ch%201.mp4" and medium["MIME_TYPE"] == "video/mp4"
    assert set(document.get_linguistic_type_names()) == {"emotion", "marker"}
    assert document.adocument["DATE"] == "2026-01-02T00:00:00+00:00"


def test_praat_reads_tiers_that_cover_the_video(tmp_path: Path) -> None:
    path = tmp_path / "video.TextGrid"
    path.write_text(textgrid(VIDEO))
    grid = praat.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, 4)
    assert grid.tierNames == ("track 0", "track 7", "intervals", "intervals 2", "markers")
    assert [tuple(entry) for entry in grid.getTier("track 7").entries] == [
        (0, 1.001, ""), (1.001, 2, "sad"), (2, 3, ""), (3, 3.04, "sad"), (3.04, 4, ""),
    ]  # fmt: skip
    assert [entry.label for entry in grid.getTier("intervals 2").entries if entry.label] == [r"looks away\nand back"]
    (point,) = grid.getTier("markers").entries
    assert point.time == 1.5 and "blinks" in point.label and "<left>" in point.label


def test_boris_reads_pairs_of_state_events_and_points(tmp_path: Path) -> None:
    path = tmp_path / "video.xlsx"
    with path.open("wb") as file:
        boris.write_boris(VIDEO, file)
    # Its importer reads the first sheet with openpyxl, and demands these columns in the first line.
    names, *found = openpyxl.load_workbook(path).worksheets[0].iter_rows(values_only=True)
    assert names == ("time", "subject", "code", "modifier", "comment")
    assert all(isinstance(time, int | float) for time, *_ in found)
    rows = [(time, *(cell or "" for cell in cells)) for time, *cells in found]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert [row for row in rows if row[1] == "track 0"] == [
        (0, "track 0", "neutral", "", ""),
        (1.2, "track 0", "neutral", "", ""),
        (1.2, "track 0", "happy", "", ""),
        (3.4, "track 0", "happy", "", ""),
    ]
    assert [row[0] for row in rows if row[2] == "talks"] == [0.5, 2.5]
    assert [row for row in rows if row[2] == "laughs"] == [(1.5, "", "laughs", "", 'he said "no" & <left>')]


def test_a_video_without_faces_gives_files_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.eaf").write_bytes(eaf(NOBODY))
    document = Eaf(str(tmp_path / "a.eaf"), suppress_version_warning=True)
    assert list(document.get_tier_names()) == []
    assert document.media_descriptors[0]["MEDIA_URL"] == NOBODY.uri
    assert document.media_descriptors[0]["MIME_TYPE"] == "video/webm"
    (tmp_path / "a.TextGrid").write_text(textgrid(NOBODY))
    grid = praat.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=True, reportingMode="error")
    assert grid.tierNames == ("no face",) and [tuple(each) for each in grid.tiers[0].entries] == [(0, 1, "")]
    with (tmp_path / "a.xlsx").open("wb") as file:
        boris.write_boris(NOBODY, file)
    assert read_excel(tmp_path / "a.xlsx") == []


def test_more_events_than_a_sheet_has_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boris, "EXCEL_ROWS", 11)
    with pytest.raises(TimelineError, match="14 events do not fit"):
        boris.write_boris(VIDEO, io.BytesIO())


def test_marked_intervals_that_overlap_lie_in_different_layers() -> None:
    marks = [Mark(0, 10, "a"), Mark(5, 15, "b"), Mark(10, 20, "c"), Mark(12, 13, "d"), Mark(3, None, "moment")]
    assert [[mark.label for mark in layer] for layer in layers(marks)] == [["a", "c"], ["b"], ["d"]]
