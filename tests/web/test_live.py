"""What is kept of a webcam's frames."""

import threading
from pathlib import Path

import pytest

from fer_model.analysis.analyser import Analyser
from fer_model.engines import load_engine
from fer_model.networks.manifest import read_models
from fer_model.sources.images import read_picture
from web.live import MEMORY_S, STEPS, LiveFigures, Moment, Watch, people
from web.parts.strip import strip


def test_frames_give_smoothed_faces_of_the_same_people(samples: Path, cache: Path, prepared: None) -> None:
    picture, models = read_picture(str(samples / "zidane.jpg")), read_models()
    with Analyser(load_engine(models, "cpu", cache), models) as analyser:
        watch = Watch(analyser, 0.4)
        for _ in range(4):
            faces = watch.look(picture)
            # On a busy machine a second may pass between two frames, and the tracks end.
            assert faces is not None and len({face.track_id for face in faces}) == 2
            assert all(sum(face.probabilities) == pytest.approx(1) for face in faces)
        assert len(watch.moments()) == 4 and watch.figures().fps > 0

        # While one frame is looked at, others are dropped and none waits.
        answers: list[bool] = []
        lookers = [threading.Thread(target=lambda: answers.append(watch.look(picture) is not None)) for _ in range(8)]
        for looker in lookers:
            looker.start()
        for looker in lookers:
            looker.join()
        assert watch.dropped == answers.count(False) > 0


def test_the_last_minute_in_steps() -> None:
    now = 1000.0
    moments = [
        Moment(now - 59.9, 0.02, {1: ("happy", 0.9)}),
        Moment(now - 30.0, 0.02, {1: ("happy", 0.8), 2: ("sad", 0.6)}),
        *(Moment(now - 0.3 + index / 10, 0.02, {2: ("angry", 0.7)}) for index in range(3)),
    ]
    first, second = people(moments, now)
    assert (first.track_id, first.emotion, first.dominant) == (1, None, ("happy", 1.0))
    assert (second.emotion, second.confidence) == ("angry", 0.7)
    assert [index for index, emotion in enumerate(second.steps) if emotion] == [STEPS // 2, STEPS - 1]
    drawn = strip([first, second], LiveFigures(10, 20, 30, 4))
    assert "not in the picture" in drawn and "<b>angry</b> 70%" in drawn and "transparent" in drawn
    assert 'aria-label="sad 50%, angry 50%"' in drawn
    assert MEMORY_S == 60


def test_of_many_people_those_seen_last_are_shown() -> None:
    moments = [Moment(100.0 + number, 0.02, {number: ("happy", 0.9)}) for number in range(10)]
    assert [person.track_id for person in people(moments, 110.0)] == [6, 7, 8, 9]
