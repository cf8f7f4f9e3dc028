"""Finite sources: read and detected ahead, in order, and closed."""

import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_model.analysis.analyser import Analyser, SourceState
from fer_model.analysis.lookahead import BATCH_BYTES, BATCH_FRAMES
from fer_model.analysis.observing import Follow
from fer_model.analysis.tracking import face_tracker
from fer_model.engines import Engine, Finish
from fer_model.engines.detection import Detections
from fer_model.networks.manifest import ModelSet
from fer_model.sources import open_source
from fer_model.sources.sampling import Sampling
from fer_model.types import EMOTIONS, FaceObservation, Frame, Image
from tests.support.brightness import MODELS, BrightnessEngine, frames

THRESHOLD = 0.4


def analyse(
    frames: Iterable[Frame],
    engine: Engine,
    models: ModelSet = MODELS,
    threshold: float = THRESHOLD,
    follow: Follow | None = None,
    **options: Any,
) -> Generator[tuple[Frame, list[FaceObservation]]]:
    """One source from its beginning."""
    return Analyser(engine, models).frames(frames, SourceState(threshold, follow), **options)


def decode_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "decode"]


@pytest.mark.parametrize("count", [0, 1, BATCH_FRAMES, BATCH_FRAMES + 1, 5 * BATCH_FRAMES - 1])
def test_every_frame_comes_out_once_and_in_order(count: int) -> None:
    engine = BrightnessEngine()
    sizes: list[int] = []
    found = list(analyse(frames(count), engine, MODELS, THRESHOLD, on_batch=sizes.append))
    assert [frame.index for frame, _ in found] == list(range(count))
    assert all(len(faces) == 1 for _, faces in found)
    assert sum(sizes) == engine.seen == count
    assert max(sizes, default=0) <= BATCH_FRAMES
    assert decode_threads() == []


def test_each_frame_gets_its_own_faces() -> None:
    source = [next(frames(1, faces)) for faces in (0, 3, 1, 0, 5, 2)]
    found = [faces for _, faces in analyse(source, BrightnessEngine(), MODELS, THRESHOLD)]
    assert [len(faces) for faces in found] == [0, 3, 1, 0, 5, 2]
    assert found[0] == []


def test_boxes_are_those_of_the_detector() -> None:
    ((_, (face,)),) = analyse(frames(1, side=320), BrightnessEngine(), MODELS, THRESHOLD)
    assert face.box == pytest.approx((30, 0, 54, 14), abs=0.01)
    assert face.detection_score == pytest.approx(0.9)


def test_members_are_mixed_by_their_shares_and_sum_to_1() -> None:
    ((_, (face,)),) = analyse(frames(1), BrightnessEngine(), MODELS, THRESHOLD)
    assert face.probabilities == pytest.approx((0.25, 0, 0, 0.75, 0, 0, 0))
    assert sum(face.probabilities) == pytest.approx(1, abs=1e-12)
    assert face.emotion == EMOTIONS[3]
    assert face.confidence == pytest.approx(0.75)
    assert 0 <= face.quality <= 1


def test_members_scores_are_named_by_model_id_and_kept_only_on_request() -> None:
    ((_, (face,)),) = analyse(frames(1), BrightnessEngine(), MODELS, THRESHOLD)
    assert face.members == {}
    ((_, (face,)),) = analyse(frames(1), BrightnessEngine(), MODELS, THRESHOLD, keep_members=True)
    assert face.members == {"first member": (1, 0, 0, 0, 0, 0, 0), "second membe": (0, 0, 0, 1, 0, 0, 0)}


def test_the_threshold_decides_which_faces_count() -> None:
    ((_, faces),) = analyse(frames(1, faces=5), BrightnessEngine(), MODELS, 0.85)
    assert [face.detection_score for face in faces] == pytest.approx([0.9, 0.875, 0.85])


def test_track_ids_are_there_only_where_faces_are_followed() -> None:
    def follow(found: Detections, time_ms: int) -> NDArray[np.int64]:
        return np.array([7, -1][: len(found)], np.int64)

    ((_, faces),) = analyse(frames(1, faces=2), BrightnessEngine(), MODELS, THRESHOLD)
    assert [face.track_id for face in faces] == [None, None]
    ((_, faces),) = analyse(frames(1, faces=2), BrightnessEngine(), MODELS, THRESHOLD, follow)
    assert [face.track_id for face in faces] == [7, None]


def test_every_frame_is_followed_in_order_also_without_faces() -> None:
    seen = []

    def follow(found: Detections, time_ms: int) -> NDArray[np.int64]:
        seen.append((len(found), time_ms))
        return np.zeros(len(found), np.int64)

    source = [Frame(n, 30 * n, next(frames(1, faces)).image) for n, faces in enumerate((1, 0, 2, 0))]
    list(analyse(source, BrightnessEngine(), MODELS, THRESHOLD, follow))
    assert seen == [(1, 0), (0, 30), (2, 60), (0, 90)]


@pytest.mark.parametrize("before", [0, 3, BATCH_FRAMES, BATCH_FRAMES + 3])
def test_an_error_of_the_source_comes_out_after_the_frames_before_it(before: int) -> None:
    def failing() -> Iterator[Frame]:
        yield from frames(before)
        raise ValueError("broken cable")

    seen = []
    with pytest.raises(ValueError, match="broken cable"):
        for frame, _ in analyse(failing(), BrightnessEngine(), MODELS, THRESHOLD):
            seen.append(frame.index)
    assert seen == list(range(before))
    assert decode_threads() == []


def test_an_error_of_the_engine_ends_the_reader() -> None:
    class Failing(BrightnessEngine):
        def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(analyse(frames(1000), Failing(), MODELS, THRESHOLD))
    assert decode_threads() == []


def test_the_source_is_never_read_more_than_four_batches_ahead() -> None:
    read = 0
    fourth_batch = threading.Event()

    def counting() -> Iterator[Frame]:
        nonlocal read
        for frame in frames(12 * BATCH_FRAMES):
            read += 1
            if read == 4 * BATCH_FRAMES:
                fourth_batch.set()
            yield frame

    ahead = []
    for done, _ in enumerate(analyse(counting(), BrightnessEngine(), MODELS, THRESHOLD)):
        if not done:
            assert fourth_batch.wait(10), "it does read ahead"
        ahead.append(read - done // BATCH_FRAMES * BATCH_FRAMES)
    assert max(ahead) <= 4 * BATCH_FRAMES


def test_large_pictures_make_small_batches() -> None:
    side = 2048
    sizes: list[int] = []
    list(analyse(frames(5, side=side), BrightnessEngine(), MODELS, THRESHOLD, on_batch=sizes.append))
    most = -(-BATCH_BYTES // (side * side * 3))
    assert sizes == [most, most, 5 - 2 * most]


def test_closing_early_stops_the_reader_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[Frame]:
        try:
            yield from frames(100 * BATCH_FRAMES)
        finally:
            closed.set()

    given = source()  # held here, so that only an explicit close can end it
    faces = analyse(given, BrightnessEngine(), MODELS, THRESHOLD)
    next(iter(faces))
    faces.close()
    assert closed.is_set()
    assert decode_threads() == []
    assert next(given, None) is None


def test_closing_does_not_wait_for_a_source_that_hangs() -> None:
    hangs, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def hanging() -> Iterator[Frame]:
        try:
            yield from frames(2 * BATCH_FRAMES)
            hangs.set()
            go_on.wait(60)
            yield from frames(1)
        finally:
            closed.set()

    faces = analyse(hanging(), BrightnessEngine())
    next(faces)
    assert hangs.wait(10)
    faces.close()
    assert not closed.is_set(), "the source hangs still"
    (left,) = decode_threads()
    assert left.daemon, "a process may end meanwhile"
    go_on.set()
    assert closed.wait(10), "its thread closes it when it comes back"
    left.join(10)
    assert decode_threads() == []


def test_closing_early_does_not_wait_for_a_whole_batch() -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Held(BrightnessEngine):
        def start(self, pictures: Sequence[Image], threshold: float) -> Finish:
            finish = super().start(pictures, threshold)
            return partial(self.held, finish)

        def held(self, finish: Finish) -> list[Detections]:
            if self.seen > BATCH_FRAMES + 5:
                reached.set()
                go_on.wait(10)
            return finish()

    engine = Held()
    faces = analyse(frames(10 * BATCH_FRAMES), engine, MODELS, THRESHOLD)
    next(faces)
    assert reached.wait(10)
    seen = engine.seen
    closing = threading.Thread(target=faces.close)
    closing.start()
    while not is_in(closing, "join"):  # waiting for the detector's thread
        time.sleep(0.01)
    go_on.set()
    closing.join()
    assert engine.seen == seen < 2 * BATCH_FRAMES


def is_in(thread: threading.Thread, function: str) -> bool:
    """Whether a thread is just in a function of this name."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


@pytest.mark.parametrize("name", ["openvino_engine", "reference"])
def test_a_photograph_from_file_to_observations(
    models: ModelSet, name: str, photographs: Path, request: pytest.FixtureRequest
) -> None:
    """`reference` is the GPU's engine, here on the CPU."""
    engine: Engine = request.getfixturevalue(name)
    source = open_source(str(photographs / "zidane.jpg"), kind="image")
    ((frame, faces),) = analyse(source, engine, models, THRESHOLD, face_tracker(25))
    assert frame.image.shape == (720, 1280, 3)
    assert sorted(face.track_id or 0 for face in faces) == [0, 1]
    for face in faces:
        assert sum(face.probabilities) == pytest.approx(1, abs=1e-6)
        assert face.detection_score >= THRESHOLD
        assert face.quality > 0.3


def test_a_video_without_faces_has_none(models: ModelSet, openvino_engine: Engine, shared_data: Path) -> None:
    source = open_source(str(shared_data / "media" / "no_face.mp4"), kind="video", threads=1)
    found = [faces for frame, faces in analyse(source, openvino_engine, models, THRESHOLD) if frame.index % 10 == 0]
    assert found == [[]] * 10


@pytest.mark.parametrize("count", [1, 2, 4, 5, 3 * BATCH_FRAMES + 2, 10 * BATCH_FRAMES])
def test_with_keys_the_detector_gets_those_frames_and_all_have_faces(count: int) -> None:
    sizes: list[int] = []
    given = (BrightnessEngine(), MODELS, THRESHOLD)
    found = list(analyse(frames(count), *given, detect_on=Sampling(every=3), on_batch=sizes.append))
    assert [frame.index for frame, _ in found] == list(range(count))
    assert all(len(faces) == 1 for _, faces in found)
    keys = {*range(0, count, 3), count - 1}
    assert sum(sizes) == given[0].seen == len(keys) and max(sizes) <= BATCH_FRAMES + 1


def test_a_face_that_comes_or_goes_between_two_keys_is_missing_there() -> None:
    source = [Frame(n, n * 40, next(frames(1, faces)).image) for n, faces in enumerate((1, 1, 1, 0, 1, 1, 1, 1, 0, 1))]
    found = [
        len(faces) for _, faces in analyse(source, BrightnessEngine(), MODELS, THRESHOLD, detect_on=Sampling(every=3))
    ]
    assert found == [1, 0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_faces_between_keys_are_judged_in_their_own_frame() -> None:
    class Watching(BrightnessEngine):
        def classify(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen.extend(faces[:, 0, 0].tolist())
            return super().classify(faces)

    source = [Frame(n, n * 40, np.full((64, 64, 3), 50 + n, np.uint8)) for n in range(4)]
    seen: list[int] = []
    list(analyse(source, Watching(), MODELS, THRESHOLD, detect_on=Sampling(every=3)))
    assert seen == [50, 51, 52, 53]


def test_boxes_of_a_reduced_picture_are_in_pixels_of_the_original() -> None:
    reduced = Frame(0, 0, np.full((320, 320, 3), 50, np.uint8), original=(1280, 639))
    ((_, (face,)),) = analyse([reduced], BrightnessEngine(), MODELS, THRESHOLD)
    assert face.box == pytest.approx((4 * 30, 0, 4 * 54, 14 * 639 / 320), abs=0.05)
