"""Tracks through the seams of a video: people who cross, however the video is cut."""

from collections.abc import Container, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import Engine as Database
from sqlalchemy import delete, select, update

from fer_model.analysis.tracking import LOST_SECONDS
from fer_model.engines import Engine, Finish
from fer_model.engines.detection import Detections
from fer_model.sources.images import read_picture
from fer_model.types import FaceObservation, Frame, Image
from results.database import reading, writing
from results.jobs import retry_job
from results.seams import ShardTracks, TrackBox
from results.tables import Face, Job, Media, Shard, Track
from tests.support.brightness import BrightnessEngine
from tests.support.clips import write_clip
from tests.support.planning import planned
from workers.batch.finishing import finish
from workers.batch.planning import BatchOptions
from workers.batch.processing import process_shard
from workers.batch.seams import Seam
from workers.batch.stitching import join_tracks
from workers.settings import Settings

Spans = list[tuple[int, int, int]]


class Remembering:
    """The real networks with cached results: differently cut jobs share the pictures of a clip."""

    def __init__(self, networks: Engine) -> None:
        self.networks = networks
        self.description = networks.description
        self.at_once, self.in_flight, self.ahead_bytes = 1, 4, networks.ahead_bytes
        self.found: dict[bytes, Detections] = {}
        self.answers: dict[bytes, NDArray[np.float32]] = {}

    def start(self, pictures: Sequence[Image], threshold: float) -> Finish:
        for picture in pictures:
            if picture.tobytes() not in self.found:
                (self.found[picture.tobytes()],) = self.networks.start([picture], threshold)()
        return lambda: [self.found[picture.tobytes()] for picture in pictures]

    def crop(self, pictures: Sequence[Image], boxes: Sequence[Detections], margin: float) -> NDArray[np.uint8]:
        return self.networks.crop(pictures, boxes, margin)

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        for crop in crops:
            if crop.tobytes() not in self.answers:
                self.answers[crop.tobytes()] = self.networks.classify(crop[None])
        return np.concatenate([self.answers[crop.tobytes()] for crop in crops], axis=1)


@pytest.fixture(scope="module")
def remembering(networks: Engine) -> Remembering:
    return Remembering(networks)


def crossing(photograph: Image) -> Iterator[Image]:
    """Two people who pass each other, 6.6 s long; the one behind is hidden for about half a second."""
    front, behind = (
        cv2.resize(photograph[y : y + 320, x : x + 240], (120, 160), interpolation=cv2.INTER_AREA)
        for x, y in ((860, 30), (480, 190))
    )
    for x in np.linspace(0, 520, 165).round().astype(int).tolist():
        picture = np.full((360, 640, 3), 128, np.uint8)
        picture[100:260, 520 - x : 640 - x] = behind
        picture[90:250, x : x + 120] = front
        yield picture


@pytest.fixture(scope="module")
def clip(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = crossing(read_picture(str(samples / "zidane.jpg")))
    return write_clip(tmp_path_factory.mktemp("crossing") / "crossing.mp4", frames, gop=25)


def process(database: Database, networks: Engine, clip: Path, seconds: float, **options: Any) -> tuple[str, list[int]]:
    job_id, shard_ids = planned(database, [clip], BatchOptions(shard_seconds=seconds, **options))
    for shard_id in shard_ids:
        process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    finish(database, job_id)
    return job_id, shard_ids


def spans(database: Database, job_id: str) -> Spans:
    """One entry per track, by track id, which counts from 0."""
    columns = (Track.track_id, Track.first_ms, Track.last_ms, Track.observations)
    of_job = select(*columns).join(Media, Media.id == Track.media_id).where(Media.job_id == job_id)
    with reading(database) as session:
        rows = session.execute(of_job.order_by(Track.track_id)).all()
    assert [row.track_id for row in rows] == list(range(len(rows)))
    return [(row.first_ms, row.last_ms, row.observations) for row in rows]


def seams(database: Database, shard_ids: list[int]) -> list[list[list[float]] | None]:
    with reading(database) as session:
        return [session.get_one(Shard, shard_id).seam for shard_id in shard_ids]


def test_people_who_cross_have_the_same_tracks_however_the_clip_is_cut(
    database: Database, remembering: Remembering, clip: Path
) -> None:
    whole, (shard_id,) = process(database, remembering, clip, 60)
    expected = spans(database, whole)
    assert len(expected) == 2
    assert seams(database, [shard_id]) == [None]
    assert sum(observations for *_, observations in expected) < 2 * 165 - 5, "one of them is hidden for a while"
    for seconds, pieces in ((2.2, 3), (0.6, 11), (3.3, 2)):
        job_id, shard_ids = process(database, remembering, clip, seconds)
        assert len(shard_ids) == pieces
        assert sorted(spans(database, job_id)) == sorted(expected)
        assert seams(database, shard_ids)[-1] is None
        if pieces == 2:
            (seam, _) = seams(database, shard_ids)
            assert seam is not None and len({row[0] for row in seam}) == 2, "cut while one of them was hidden"


def test_finishing_again_after_a_retry_joins_the_same_tracks(
    database: Database, remembering: Remembering, clip: Path
) -> None:
    whole, _ = process(database, remembering, clip, 60)
    expected = spans(database, whole)
    job_id, shard_ids = planned(database, [clip], BatchOptions(shard_seconds=2.2))
    with writing(database) as session:
        session.execute(update(Shard).where(Shard.id == shard_ids[1]).values(state="failed", error="bad luck"))
    for shard_id in shard_ids:
        process_shard(database, Settings(), shard_id, "test", lambda _: remembering)
    finish(database, job_id)
    assert len(spans(database, job_id)) == 4, "no track continues through a failed segment"
    with writing(database) as session:
        assert retry_job(session, job_id) == 1
    process_shard(database, Settings(), shard_ids[1], "test", lambda _: remembering)
    finish(database, job_id)
    assert sorted(spans(database, job_id)) == sorted(expected)
    assert {row[1] for seam in seams(database, shard_ids) for row in seam or []} <= {0, 1}


def test_finishing_twice_changes_nothing(database: Database, remembering: Remembering, clip: Path) -> None:
    job_id, shard_ids = process(database, remembering, clip, 0.6)
    numbered = select(Face.frame_index, Face.face_index, Face.track_id).order_by(Face.frame_index, Face.face_index)
    with reading(database) as session:
        before = session.execute(numbered).all()
    joined = seams(database, shard_ids)
    with writing(database) as session:
        session.execute(delete(Track))
        session.execute(update(Job).where(Job.id == job_id).values(state="running"))
    finish(database, job_id)
    assert len(spans(database, job_id)) == 2
    assert seams(database, shard_ids) == joined
    with reading(database) as session:
        assert session.execute(numbered).all() == before


def flickering(clip: Path, count: int, missed: Container[int]) -> Path:
    """A clip of 25 frames a second in which `BrightnessEngine` sees a face, but for the missed frames."""
    return write_clip(clip, (np.full((64, 96, 3), 0 if n in missed else 75, np.uint8) for n in range(count)), gop=25)


@pytest.mark.parametrize("detect_every", [1, 5, "auto"])
def test_a_face_missed_in_the_seams_frame_alone_keeps_its_track(
    database: Database, tmp_path: Path, detect_every: Any
) -> None:
    """What is found in the frames after the seam depends on the seam's frame, before the seam as after it."""
    clip = flickering(tmp_path / "flicker.mp4", 75, [25])
    whole, _ = process(database, BrightnessEngine(), clip, 60, detect_every=detect_every)
    job_id, shard_ids = process(database, BrightnessEngine(), clip, 1, detect_every=detect_every)
    assert len(shard_ids) == 3
    (only,) = spans(database, whole)
    assert spans(database, job_id) == [only]


@pytest.mark.parametrize("seconds", [1, 2, 4])
def test_at_low_rates_a_hidden_face_is_waited_for_as_long_as_the_tracker_waits(
    database: Database, tmp_path: Path, seconds: float
) -> None:
    """With `nearest` two frames may be almost two seconds apart at one frame a second."""
    clip = flickering(tmp_path / "hidden.mp4", 250, range(100, 115))
    whole, _ = process(database, BrightnessEngine(), clip, 60, fps=1, nearest=True)
    job_id, shard_ids = process(database, BrightnessEngine(), clip, seconds, fps=1, nearest=True)
    assert len(shard_ids) > 1
    (only,) = spans(database, whole)
    assert spans(database, job_id) == [only]


FRAME_MS, LOST_MS = 200, 1000 * LOST_SECONDS
PICTURE = np.zeros((1, 1, 3), np.uint8)


@st.composite
def people(draw: st.DrawFn) -> list[list[int]]:
    """Frames in which each person is visible, with gaps shorter than `LOST_SECONDS`."""
    length = draw(st.integers(2, 40))
    seen = draw(st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=4))
    return [whole for flags in seen for whole in _unbroken([n for n, here in enumerate(flags) if here])]


def _unbroken(frames: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for frame in frames:
        if runs and (frame - runs[-1][-1]) * FRAME_MS <= LOST_MS:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def observation(person: int, frame: int, number: int) -> FaceObservation:
    x, y = 300.0 * person + frame, 7.0 * frame
    return FaceObservation((x, y, x + 60, y + 70), 0.9, (1.0,) + (0.0,) * 6, 0.5, number)


def segment(tracks: list[list[int]], start: int, end: int, last: int) -> ShardTracks:
    """The tracks that a worker with a perfect tracker finds in the frames [start, end) of `last`."""
    met = [person for person, frames in enumerate(tracks) if any(start <= frame < last for frame in frames)]
    numbers = {person: number for number, person in enumerate(met)}

    def seen(frame: int) -> tuple[Frame, list[FaceObservation]]:
        there = [person for person, frames in enumerate(tracks) if frame in frames]
        picture = Frame(frame, frame * FRAME_MS, PICTURE)
        return picture, [observation(person, frame, numbers[person]) for person in there]

    seam = Seam(end * FRAME_MS if end < last else None, LOST_MS)
    own = [seen(frame) for frame in range(start, end)]
    for frame, faces in own:
        assert not seam.note(frame, faces)
    if end < last:
        assert seam.note(*seen(end))
        seam.wait(seen(frame) for frame in range(end + 1, last))
    return ShardTracks(
        start,
        start * FRAME_MS,
        seam.end_ms,
        list(dict.fromkeys(face.track_id for _, faces in own for face in faces if face.track_id is not None)),
        [TrackBox(int(row[0]), int(row[1]), (row[2], row[3], row[4], row[5])) for row in seam.rows],
        {
            frame.index: [TrackBox(frame.index, face.track_id or 0, face.box) for face in faces]
            for frame, faces in own
            if faces
        },
    )


@settings(deadline=None, max_examples=200)
@given(people(), st.data())
def test_cut_anywhere_and_joined_the_tracks_are_the_same(tracks: list[list[int]], data: st.DataObject) -> None:
    last = 1 + max((frames[-1] for frames in tracks), default=0)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, last - 1)))))
    bounds = [0, *(cut for cut in cuts if cut < last), last]
    segments = [segment(tracks, *pair, last) for pair in pairwise(bounds)]
    joined = join_tracks(segments)
    numbers: dict[int, set[int]] = {}
    for piece, labels in zip(segments, joined, strict=True):
        for sightings in piece.seen.values():
            for sighting in sightings:
                (person,) = (p for p, f in enumerate(tracks) if is_of(p, f, sighting))
                numbers.setdefault(person, set()).add(labels[sighting.track_id])
    assert all(len(found) == 1 for found in numbers.values()), "one number each"
    by_begin = [tracks[person][0] for person, _ in sorted(numbers.items(), key=lambda item: min(item[1]))]
    assert by_begin == sorted(by_begin), "in the order in which they begin"
    assert sorted(n for (n,) in numbers.values()) == list(range(len(tracks)))


def is_of(person: int, frames: list[int], sighting: TrackBox) -> bool:
    return sighting.frame_index in frames and observation(person, sighting.frame_index, 0).box == sighting.box
