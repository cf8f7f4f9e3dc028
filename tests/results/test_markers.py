"""Markers are kept, exported with the annotations, and go with their medium."""

from pathlib import Path

import pytest
from pympi import Eaf
from sqlalchemy import Engine as Database
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from results.database import reading, writing
from results.errors import MarkerError
from results.jobs import delete_job
from results.markers import Marker, add_marker, delete_markers, markers_of
from results.read.annotations.tiers import annotated
from results.read.annotations.writing import write_annotations
from results.read.face_filter import FaceFilter
from results.tables import Media
from tests.support.answers_job import add_job


def test_markers_are_kept_in_the_order_of_time_and_deleted_one_by_one(database: Database) -> None:
    add_job(database)
    with writing(database) as session:
        late = add_marker(session, 1, 2000, None, " laughs ", "")
        add_marker(session, 1, 500, 900, "talks", "to <the left>")
        other = add_marker(session, 4, 1, None, "other")
    with reading(database) as session:
        found = [(row.time_ms, row.until_ms, row.label, row.note) for row in markers_of(session, 1)]
    assert found == [(500, 900, "talks", "to <the left>"), (2000, None, "laughs", None)]
    with writing(database) as session:
        delete_markers(session, 1, [late.id, other.id, 999])
    with reading(database) as session:
        assert [row.label for row in session.scalars(select(Marker).order_by(Marker.id))] == ["talks", "other"]


def test_markers_go_with_their_job(database: Database) -> None:
    job_id = add_job(database)
    with writing(database) as session:
        add_marker(session, 1, 0, None, "begins")
        assert delete_job(session, job_id)
    with reading(database) as session:
        assert session.scalars(select(Marker)).all() == []


@pytest.mark.parametrize(
    ("time_ms", "until_ms", "label", "note"),
    [(-1, None, "a", ""), (5, 5, "a", ""), (5, 4, "a", ""), (5, None, " ", ""), (5, None, "a" * 81, ""),
     (5, None, "a", "b" * 501), (2**60, None, "a", ""), (1, 2**60, "a", "")],
)  # fmt: skip
def test_wrong_markers_are_refused(
    database: Database, time_ms: int, until_ms: int | None, label: str, note: str
) -> None:
    add_job(database)
    with writing(database) as session, pytest.raises(MarkerError):
        add_marker(session, 1, time_ms, until_ms, label, note)


def test_a_marker_needs_its_medium(database: Database) -> None:
    with pytest.raises(IntegrityError), writing(database) as session:
        add_marker(session, 99, 0, None, "a")


def test_annotations_hold_tracks_and_markers(database: Database, tmp_path: Path) -> None:
    add_job(database)
    with writing(database) as session:
        add_marker(session, 1, 1000, 5000, "talks", "long")
    with reading(database) as session:
        medium = session.get_one(Media, 1)
        video = annotated(session, medium, FaceFilter(smooth_s=0.0))
        with (tmp_path / "a.eaf").open("wb") as file:
            write_annotations(session, medium, "eaf", file, FaceFilter(smooth_s=1.0))
    assert video.length_ms == 5000 and [span.emotion for span in video.tracks[0]] == ["happy", "sad"]
    document = Eaf(str(tmp_path / "a.eaf"), suppress_version_warning=True)
    assert document.get_annotation_data_for_tier("markers") == [(1000, 5000, "talks: long")]
    assert [value for *_, value in document.get_annotation_data_for_tier("track 0")] == ["happy", "sad"]
