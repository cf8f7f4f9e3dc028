"""Real clips and photographs with known content; they are not part of the repository."""

from pathlib import Path

import pytest

from tests.support.commands import fer_batch
from tests.support.databases import query


@pytest.fixture(scope="module")
def url(shared_data: Path, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the results of all of them."""
    url = f"sqlite:///{tmp_path_factory.mktemp('real') / 'results.db'}"
    run = fer_batch("run", str(shared_data / "media"), str(samples / "zidane.jpg"), "--db", url)
    assert run.returncode == 0, run.stderr
    return url


def faces_by_frame(url: str, name: str) -> list[int]:
    """The number of faces in each frame of a medium."""
    rows = query(
        url,
        "SELECT f.faces FROM frames f JOIN media m ON m.id = f.media_id WHERE m.uri LIKE :name ORDER BY f.frame_index",
        name=f"%/{name}",
    )
    return [count for (count,) in rows]


def test_a_man_with_strong_expressions_is_seen_throughout_as_one_track(url: str) -> None:
    faces = faces_by_frame(url, "WolfgangLanger_Pexels.mp4")
    assert len(faces) == 472
    assert sum(count > 0 for count in faces) >= 0.97 * 472
    observations = query(
        url,
        "SELECT t.observations FROM tracks t JOIN media m ON m.id = t.media_id "
        "WHERE m.uri LIKE '%Wolfgang%' ORDER BY t.observations DESC",
    )
    assert observations[0][0] >= 0.95 * sum(faces)


def test_a_clip_without_faces_has_none(url: str) -> None:
    faces = faces_by_frame(url, "no_face.mp4")
    assert len(faces) == 95
    assert sum(count > 0 for count in faces) <= 0.01 * 95


def test_a_face_that_leaves_is_there_first_and_then_not(url: str) -> None:
    faces = faces_by_frame(url, "face_noface.mov")
    third = len(faces) // 3
    assert len(faces) == 169
    assert sum(count > 0 for count in faces[:third]) >= 0.9 * third
    assert not any(faces[-third:])


def test_one_face_is_one_face(url: str) -> None:
    faces = faces_by_frame(url, "single_face.mp4")
    assert len(faces) == 72 and faces.count(1) >= 70


@pytest.mark.parametrize(("name", "count"), [("multi_face.jpg", 5), ("zidane.jpg", 2)])
def test_photographs_have_exactly_their_faces(url: str, name: str, count: int) -> None:
    assert faces_by_frame(url, name) == [count]
