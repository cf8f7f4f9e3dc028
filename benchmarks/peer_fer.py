"""The package `fer`, run by its own Python: `python peer_fer.py frames|faces`. Input and output as `peer_npm.cjs`."""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from typing import Any

import numpy as np


def main(mode: str) -> None:
    head = json.loads(sys.stdin.buffer.readline())
    shape = head["count"], head["height"], head["width"], 3
    pictures = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(shape)
    # OpenCV 5 does not carry this file any more; the package does.
    cascade = str(files("fer") / "data" / "haarcascade_frontalface_default.xml")
    detector = import_module("fer.fer").FER(cascade_file=cascade, mtcnn=False)
    answer = {"frames": _largest, "faces": _alone}[mode](detector)
    for _ in range(head["repetitions"]):
        began = time.perf_counter()
        answers = [answer(picture) for picture in pictures]
        print(json.dumps({"seconds": time.perf_counter() - began, "answers": answers}), flush=True)


def _largest(detector: Any) -> Callable[[np.ndarray], str | None]:
    def answer(picture: np.ndarray) -> str | None:
        faces = detector.detect_emotions(np.ascontiguousarray(picture[..., ::-1]))
        largest = max(faces, key=lambda face: face["box"][2] * face["box"][3], default=None)
        return max(largest["emotions"], key=largest["emotions"].get) if largest else None

    return answer


def _alone(detector: Any) -> Callable[[np.ndarray], str]:
    """The emotion network alone, prepared as `FER.detect_emotions` does."""
    cv2 = import_module("cv2")
    side = detector._FER__emotion_target_size
    names = detector._get_labels()

    def answer(picture: np.ndarray) -> str:
        face = cv2.resize(picture[..., 0], side).astype(np.float32) / 127.5 - 1
        return str(names[int(np.argmax(detector._classify_emotions(face[None])[0]))])

    return answer


if __name__ == "__main__":
    main(sys.argv[1])
