"""One analyser for pictures, live sources and finite ones, from many threads at once."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Full

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_model.analysis.analyser import Analyser, SourceState
from fer_model.analysis.batcher import WAITING
from fer_model.analysis.tracking import face_tracker
from fer_model.engines import Engine, Finish
from fer_model.networks.manifest import ModelSet
from fer_model.sources.images import read_picture
from fer_model.types import FaceObservation, Frame, Image
from tests.support.brightness import MODELS, BrightnessEngine, frames

LONG_S = 60.0


@pytest.fixture(scope="module")
def zidane(photographs: Path) -> Image:
    return read_picture(str(photographs / "zidane.jpg"))


@pytest.fixture(scope="module")
def pictures(photographs: Path) -> list[Image]:
    """50 pictures of three shapes: photographs, mirrored, moved, and without a face."""
    wide, high = (read_picture(str(photographs / name)) for name in ("zidane.jpg", "bus.jpg"))
    made = [np.roll(each[:, ::turn], 40 * n, axis=1) for n in range(12) for each in (wide, high) for turn in (1, -1)]
    return [np.ascontiguousarray(each) for each in made] + [np.full((300, 300, 3), grey, np.uint8) for grey in (0, 127)]


def same(found: list[FaceObservation], expected: list[FaceObservation]) -> bool:
    """Equal within rounding: another batch size changes the order of summation."""
    return len(found) == len(expected) and all(
        np.allclose(one.box, other.box, atol=0.5)
        and np.allclose(one.probabilities, other.probabilities, atol=1e-3)
        and one.members.keys() == other.members.keys()
        for one, other in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("name", ["openvino_engine", "reference"])
def test_one_picture_in_one_call(models: ModelSet, name: str, zidane: Image, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(name)
    with Analyser(engine, models) as analyser:
        faces = analyser.image(zidane)
        assert len(faces) == 2
        for face in faces:
            assert face.track_id is None
            assert list(face.members) == [member.sha256[:12] for member in models.members]
            mixed = np.average([*face.members.values()], axis=0, weights=models.shares)
            assert int(mixed.argmax()) == int(np.argmax(face.probabilities)), "what the members give, mixed"
        highest = max(face.detection_score for face in faces)
        assert [face.detection_score for face in analyser.image(zidane, highest)] == [highest]


def test_pictures_frames_and_live_sources_give_the_same_faces(
    models: ModelSet, openvino_engine: Engine, zidane: Image
) -> None:
    with Analyser(openvino_engine, models) as analyser:
        alone = analyser.image(zidane)
        ((_, finite),) = analyser.frames([Frame(0, 0, zidane)], SourceState(), keep_members=True)
        live = analyser.submit(Frame(0, 0, zidane), SourceState()).result(LONG_S)
    assert same(finite, alone) and same(live, alone)


def test_a_picture_that_is_none_fails_alone(models: ModelSet, openvino_engine: Engine, zidane: Image) -> None:
    with Analyser(openvino_engine, models) as analyser:
        source = SourceState()
        offered = [zidane, np.zeros(7, np.uint8), zidane]
        futures = [analyser.submit(Frame(n, n, picture), source) for n, picture in enumerate(offered)]
        assert len(futures[0].result(LONG_S)) == len(futures[2].result(LONG_S)) == 2
        with pytest.raises((ValueError, TypeError, IndexError)):
            futures[1].result(LONG_S)
        assert len(analyser.image(zidane)) == 2


def test_an_answer_comes_before_the_next_frame_is_offered() -> None:
    """A camera of 5 frames a second has each answer at once, not when later frames arrive."""
    with Analyser(BrightnessEngine(), MODELS) as analyser:
        source = SourceState(follow=face_tracker(5))
        for frame in frames(40, faces=2):
            assert [face.track_id for face in analyser.submit(frame, source).result(LONG_S)] == [0, 1]


def test_each_live_source_has_tracks_of_its_own() -> None:
    with Analyser(BrightnessEngine(), MODELS) as analyser:
        first, second = (SourceState(follow=face_tracker(25, first_id)) for first_id in (0, 40))
        for frame in frames(5):
            given = [analyser.submit(frame, source) for source in (first, second)]
            assert [[face.track_id for face in each.result(LONG_S)] for each in given] == [[0], [40]]


def test_each_source_has_its_own_threshold_also_in_one_batch() -> None:
    class Several(BrightnessEngine):
        at_once = 3

    with Analyser(Several(), MODELS) as analyser:
        (frame,) = frames(1, faces=5)
        futures = [analyser.submit(frame, SourceState(threshold)) for threshold in (0.85, 0.4, 0.89)]
        assert [len(future.result(LONG_S)) for future in futures] == [3, 5, 1]


class Held(BrightnessEngine):
    """Waits with its first answer until it may go on."""

    in_flight = 1

    def __init__(self) -> None:
        super().__init__()
        self.at_work, self.go_on = threading.Event(), threading.Event()

    def start(self, pictures: Sequence[Image], threshold: float) -> Finish:
        finish = super().start(pictures, threshold)

        def held() -> list[NDArray[np.float32]]:
            self.at_work.set()
            assert self.go_on.wait(LONG_S)
            return finish()

        return held


def test_a_live_source_may_drop_frames_instead_of_falling_behind() -> None:
    engine = Held()
    with Analyser(engine, MODELS) as analyser:
        source = SourceState()
        taken = [analyser.submit(next(frames(1)), source)]
        assert engine.at_work.wait(LONG_S)
        taken += [analyser.submit(frame, source, timeout=0) for frame in frames(WAITING)]
        with pytest.raises(Full):
            analyser.submit(next(frames(1)), source, timeout=0)
        engine.go_on.set()
        assert all(len(future.result(LONG_S)) == 1 for future in taken)


def test_closing_does_not_wait_for_a_live_source_that_hangs() -> None:
    """Sources push frames: the analyser does not know of a silent source."""
    hangs, go_on = threading.Event(), threading.Event()
    analyser = Analyser(BrightnessEngine(), MODELS)

    def camera() -> None:
        analyser.submit(next(frames(1)), source).result(LONG_S)
        hangs.set()
        assert go_on.wait(LONG_S)
        with pytest.raises(RuntimeError, match="closed"):
            analyser.submit(next(frames(1)), source)

    source = SourceState()
    thread = threading.Thread(target=camera)
    thread.start()
    assert hangs.wait(LONG_S)
    analyser.close()
    assert not go_on.is_set() and not [each for each in threading.enumerate() if each.name == "batcher"]
    go_on.set()
    thread.join(LONG_S)


@pytest.mark.parametrize("name", ["openvino_engine", "reference"])
def test_two_callers_of_one_engine_do_not_know_of_each_other(
    models: ModelSet, name: str, zidane: Image, request: pytest.FixtureRequest
) -> None:
    """The second calls while the first waits for its camera."""
    engine: Engine = request.getfixturevalue(name)
    called, answered = threading.Event(), threading.Event()

    def camera() -> Iterator[Frame]:
        for index in range(20):
            if index == 18:
                called.set()
                assert answered.wait(LONG_S)
            yield Frame(index, 40 * index, zidane)

    with Analyser(engine, models) as first, Analyser(engine, models) as second, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(first.frames(camera(), SourceState())))
        assert called.wait(LONG_S)
        clip = [Frame(index, 40 * index, zidane) for index in range(9)]
        assert [len(faces) for _, faces in second.frames(clip, SourceState())] == [2] * 9
        assert len(second.image(zidane)) == 2
        answered.set()
        assert [len(faces) for _, faces in waiting.result(LONG_S)] == [2] * 20


def test_eight_threads_get_what_one_alone_gets(
    models: ModelSet, openvino_engine: Engine, pictures: list[Image]
) -> None:
    """A soak: each of the threads has 50 pictures of three shapes, in an order of its own."""
    assert len(pictures) == 50
    with Analyser(openvino_engine, models) as analyser:
        expected = [analyser.image(picture) for picture in pictures]
        assert sum(map(len, expected)) > 50

        def work(seed: int) -> list[int]:
            order = np.random.default_rng(seed).permutation(len(pictures)).tolist()
            return [n for n in order if not same(analyser.image(pictures[n]), expected[n])]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [[]] * 8
