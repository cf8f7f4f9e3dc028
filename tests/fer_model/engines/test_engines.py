import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fer_model import engines
from fer_model.analysis import lookahead as ahead
from fer_model.digests import digest
from fer_model.engines import Engine, gpu_count, load_engine
from fer_model.engines.detection import Detections
from fer_model.engines.graphs import graph_of
from fer_model.engines.openvino import FEW, MANY, _Request
from fer_model.engines.torch import TorchEngine
from fer_model.errors import FerModelError, WeightsError
from fer_model.networks.loading import load_classifier
from fer_model.networks.manifest import ModelSet, WeightsFile
from fer_model.preprocess import crop_face, crop_faces, normalise
from fer_model.sources.images import read_picture
from fer_model.types import Image
from tests.support.clips import noise_picture

THRESHOLD = 0.4


def detect(engine: Engine, pictures: Sequence[Image]) -> list[Detections]:
    return list(ahead.detect(pictures, engine, THRESHOLD))


def crops(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = noise_picture(640, 480)
    places = np.random.default_rng(0).uniform(0, 300, (count, 2))
    return np.stack([crop_face(picture, np.array([x, y, x + 90, y + 90], np.float32), 0.0) for x, y in places])


@pytest.fixture(scope="module")
def zidane(photographs: Path) -> Image:
    return read_picture(str(photographs / "zidane.jpg"))


@pytest.fixture(scope="module")
def bus(photographs: Path) -> Image:
    return read_picture(str(photographs / "bus.jpg"))


@pytest.mark.parametrize("name", ["zidane", "bus"])
@pytest.mark.parametrize(("form", "score"), [("float_engine", 0.02), ("openvino_engine", 0.06)])
def test_openvino_and_torch_find_the_same_faces(
    reference: Engine, name: str, form: str, score: float, request: pytest.FixtureRequest
) -> None:
    """Eight bits move scores more than boxes: two faces may change places in the order."""
    picture = request.getfixturevalue(name)
    found, expected = (
        boxes[np.argsort(boxes[:, 0])]
        for engine in (request.getfixturevalue(form), reference)
        for boxes in detect(engine, [picture])
    )
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=2)
    np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=score)


def test_only_a_quantised_detector_is_called_one(openvino_engine: Engine, models: ModelSet, cache: Path) -> None:
    path = graph_of(replace(models.detector, graph=None), "detector", cache)
    graph = WeightsFile("in floats", path, digest(path, "sha256"))
    floats = load_engine(replace(models, detector=replace(models.detector, graph=graph)), "cpu", cache)
    assert "8-bit" in openvino_engine.description and "8-bit" not in floats.description


def test_faces_come_in_the_order_of_the_pictures_and_stay_as_they_are(openvino_engine: Engine, zidane: Image) -> None:
    pictures = [zidane, np.full_like(zidane, 127), zidane[:, ::-1]] * 3
    kept = detect(openvino_engine, pictures)
    assert [len(faces) for faces in kept] == [2, 0, 2] * 3
    for number, faces in enumerate(kept):
        np.testing.assert_array_equal(faces, kept[number % 3])


def test_faces_that_are_not_waited_for_leave_the_engine_usable(openvino_engine: Engine, zidane: Image) -> None:
    (expected,) = detect(openvino_engine, [zidane])
    for _ in range(5):
        abandoned = ahead.detect([zidane] * 6, openvino_engine, THRESHOLD)
        next(abandoned)
        abandoned.close()
    (again,) = detect(openvino_engine, [zidane])
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("name", ["openvino_engine", "reference"])
def test_a_broken_source_leaves_the_engine_usable(name: str, zidane: Image, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(name)

    def breaking() -> Iterator[Image]:
        yield from [zidane] * 5
        raise ValueError("broken cable")

    with pytest.raises(ValueError, match="broken cable"):
        list(ahead.detect(breaking(), engine, THRESHOLD))
    assert len(detect(engine, [zidane])[0]) == 2


@pytest.mark.parametrize("what", ["start", "end"])
def test_a_failure_costs_the_engine_nothing(
    openvino_engine: Engine, zidane: Image, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    original = getattr(_Request, what)

    def failing(request: _Request, *pictures: Image) -> None:
        if what == "end":
            original(request)
        raise RuntimeError("no memory")

    for _ in range(8):
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="no memory"):
            patch.setattr(_Request, what, failing)
            detect(openvino_engine, [zidane] * 3)
    assert [len(faces) for faces in detect(openvino_engine, [zidane] * 9)] == [2] * 9


@pytest.mark.parametrize(("name", "most"), [("openvino_engine", 2), ("reference", 8)])
def test_few_large_pictures_are_taken_ahead(name: str, most: int, request: pytest.FixtureRequest) -> None:
    large = np.zeros((3000, 3000, 3), np.uint8)
    taken = 0

    def pictures() -> Iterator[Image]:
        nonlocal taken
        for _ in range(12):
            taken += 1
            yield large

    engine: Engine = request.getfixturevalue(name)
    assert max(taken - done for done, _ in enumerate(ahead.detect(pictures(), engine, THRESHOLD))) == most


@pytest.mark.parametrize("name", ["openvino_engine", "reference"])
def test_boxes_are_in_pixels_of_the_picture(name: str, zidane: Image, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(name)
    large = np.asarray(cv2.resize(zidane, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    found, expected = (faces[np.argsort(faces[:, 0])] for faces in detect(engine, [large, zidane]))
    np.testing.assert_allclose(found[:, :4], 2 * expected[:, :4], atol=12)


def test_the_two_men_are_found(openvino_engine: Engine, zidane: Image) -> None:
    (found,) = detect(openvino_engine, [zidane])
    assert len(found) == 2
    middles = sorted(((found[:, 0] + found[:, 2]) / 2).tolist())
    assert middles == pytest.approx([500, 1010], abs=120)


def test_faces_at_the_bus_are_found(openvino_engine: Engine, bus: Image) -> None:
    (found,) = detect(openvino_engine, [bus])
    assert len(found) >= 2
    assert (found[:, 3] < 600).all(), "heads, not shoes"


def test_pictures_of_several_shapes_keep_their_order(
    openvino_engine: Engine, reference: Engine, zidane: Image, bus: Image
) -> None:
    wide, high = zidane, bus
    blank = np.full((500, 400, 3), 127, np.uint8)
    pictures = [wide, high, blank, wide[:, ::-1], high, wide]
    for engine in (openvino_engine, reference):
        alone = [detect(engine, [picture])[0] for picture in (wide, high)]
        together = detect(engine, pictures)
        assert len(together[2]) == 0
        assert len(together[3]) == 2
        for row, expected in ((0, alone[0]), (5, alone[0]), (1, alone[1]), (4, alone[1])):
            np.testing.assert_allclose(together[row], expected, atol=0.5)


def test_crops_are_cut_on_the_device_from_pictures_that_are_there(reference: TorchEngine, zidane: Image) -> None:
    others = len(reference._placed)
    pictures = [zidane.copy(), zidane[:, ::-1].copy()]
    found = detect(reference, pictures)
    assert len(reference._placed) == others + 2
    cut = reference.crop(pictures, found, 0.1)
    np.testing.assert_allclose(cut.astype(int), crop_faces(pictures, found, 0.1).astype(int), atol=1)
    assert len(cut) == 4
    del pictures
    assert len(reference._placed) == others, "they leave the device with the host"


def test_openvino_and_torch_agree_on_crops(openvino_engine: Engine, reference: Engine, zidane: Image) -> None:
    real = [crop_face(zidane, box, 0.0) for box in detect(reference, [zidane])[0]]
    faces = np.concatenate((crops(5), np.stack(real)))
    found, expected = openvino_engine.classify(faces), reference.classify(faces)
    assert found.shape == expected.shape == (2, 7, 7)
    np.testing.assert_allclose(found, expected, atol=0.02)
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 9, 11, 12, 16, 17, 33])
def test_a_face_is_judged_alike_in_any_batch(openvino_engine: Engine, count: int) -> None:
    assert (MANY, FEW) == (16, 4), "the counts above lie around these"
    faces = crops(33)
    expected = openvino_engine.classify(faces)[:, :count]
    np.testing.assert_allclose(openvino_engine.classify(faces[:count]), expected, atol=1e-4)


def test_engines_see_a_face_as_training_does(openvino_engine: Engine, models: ModelSet) -> None:
    """The graph takes bytes: its normalisation must be `normalise`, which the trainer applies."""
    faces = crops(3)
    network = load_classifier(models.members[0].path)
    with torch.inference_mode():
        expected = network(normalise(torch.from_numpy(faces)[:, None].float())).softmax(1).numpy()
    np.testing.assert_allclose(openvino_engine.classify(faces)[0], expected, atol=0.005)


def broken(models: ModelSet, folder: Path, content: bytes | None) -> ModelSet:
    """The models with other bytes, or none, in the place of the second member."""
    path = folder / "member.safetensors"
    if content is not None:
        path.write_bytes(content)
    member = WeightsFile("member", path, models.members[1].sha256)
    return replace(models, members=(models.members[0], member))


def test_other_weights_than_promised_are_refused(models: ModelSet, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"member\.safetensors: sha256 is .*, promised was"):
        load_engine(broken(models, tmp_path, b"something else"), "cpu", tmp_path / "cache")


def test_missing_weights_are_named(models: ModelSet, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"member\.safetensors: the weights cannot be read \(No such file"):
        load_engine(broken(models, tmp_path, None), "cpu", tmp_path / "cache")


@pytest.mark.parametrize("device", ["gpu", "cuda0", "cuda:", "cuda:x", "CPU", ""])
def test_an_unknown_device_is_refused(models: ModelSet, tmp_path: Path, device: str) -> None:
    with pytest.raises(FerModelError, match="is not a device; use auto, cpu or cuda:0"):
        load_engine(models, device, tmp_path)


def test_a_gpu_that_is_not_there_is_named(models: ModelSet, tmp_path: Path) -> None:
    device = f"cuda:{gpu_count()}"
    with pytest.raises(FerModelError, match=f"{device} is not available: this machine has (no|\\d+) working NVIDIA"):
        load_engine(models, device, tmp_path)


@pytest.mark.skipif(not gpu_count(), reason="this machine has no NVIDIA GPU")
def test_a_gpu_finds_and_judges_like_the_reference(
    models: ModelSet, reference: Engine, zidane: Image, bus: Image, tmp_path: Path
) -> None:
    engine = load_engine(models, "auto", tmp_path)
    assert "cuda:0" in engine.description
    for found, expected in zip(detect(engine, [zidane, bus]), detect(reference, [zidane, bus]), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=2)
    np.testing.assert_allclose(engine.classify(crops(9)), reference.classify(crops(9)), atol=0.02)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.usefixtures("openvino_engine")
def test_a_cpu_worker_needs_no_torch_in_memory(models: ModelSet, cache: Path, photographs: Path) -> None:
    """A separate process, because this one has imported torch; the cache is warm from `openvino_engine`."""
    run = run_python(
        """
        import sys
        from pathlib import Path
        from fer_model.engines import load_engine
        from fer_model.networks.manifest import read_models
        from fer_model.analysis.analyser import Analyser
        from fer_model.sources.images import read_picture

        models = read_models(Path(sys.argv[1]))
        engine = load_engine(models, "cpu", Path(sys.argv[2]))
        with Analyser(engine, models) as analyser:
            faces = analyser.image(read_picture(sys.argv[3]))
        assert len(faces) == 2, faces
        heavy = {"torch", "torchvision", "ultralytics", "openvino_telemetry.main"} & set(sys.modules)
        # Not `ru_maxrss`: that one begins with what the parent had at the fork.
        status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        print(*sorted(heavy), int(status["VmHWM"].split()[0]) // 1024)
        """,
        models.detector.path.parent,
        cache,
        photographs / "zidane.jpg",
    )
    assert run.returncode == 0, run.stderr
    *heavy, megabytes = run.stdout.split()
    assert heavy == []
    print(f"peak resident memory {megabytes} MB")  # torch and Ultralytics alone take over 400
    assert int(megabytes) < 450


def test_a_gpu_needs_torch_and_auto_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "gpu_count", lambda: 1)
    assert engines.actual_device("auto") == "cuda:0"
    monkeypatch.setattr(engines, "has_torch", lambda: False)
    assert engines.actual_device("auto") == "cpu"
    with pytest.raises(FerModelError, match=r"^cuda:0 needs torch, .*: pip install 'fer-batch\[gpu\]'$"):
        engines.actual_device("cuda:0")
