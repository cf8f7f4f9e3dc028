"""One real epoch of Ultralytics' trainer, in a process of its own: it changes global state and warns by itself."""

import io
import os
import re
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

from fer_model.networks import detector_network, load_weights, read_metadata, save_weights
from fer_model.privacy import silence_ultralytics
from tests.clips import noise_picture


def archive(path: Path, name: str, photograph: Path, count: int) -> Path:
    """Photographs whose face is in the middle, in YOLO's layout."""
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            picture = io.BytesIO()
            Pillow.open(photograph).convert("RGB").resize((320, 180 + 20 * number)).save(picture, "JPEG")
            for member, content in (
                (f"images/{name}/{number}.jpg", picture.getvalue()),
                (f"labels/{name}/{number}.txt", b"0 0.5 0.5 0.2 0.4\n"),
            ):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


SCRIPT = """
    import os, sys
    from pathlib import Path

    def watch(event, arguments):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
            os.write(2, f"reached for the network: {event} {arguments}".encode())
            os._exit(3)

    sys.addaudithook(watch)
    import torch
    from fer_model.training.detector import DetectorRun, train_detector

    torch.set_num_threads(1)
    die, init, training, validation, folder = sys.argv[1], *map(Path, sys.argv[2:])

    def on_epoch(epoch):
        print("told of", epoch.epoch, 0 <= epoch.validation_accuracy <= 1 and epoch.loss > 0)
        if die == "die":
            os._exit(9)

    validating = set()

    def before_batch():
        validating.add(torch.is_inference_mode_enabled())

    run = DetectorRun(epochs=2, batch=2), init, [training], validation, folder, on_epoch, before_batch
    train_detector(*run)
    print("asked while training and while validating", validating == {False, True})
    print("once more", train_detector(*run, progress=False))
"""


def test_a_killed_run_goes_on_to_the_very_same_weights_and_reaches_for_no_network(
    tmp_path: Path, photographs: Path
) -> None:
    torch.manual_seed(0)
    init = tmp_path / "init.safetensors"
    save_weights(detector_network(), init)
    training = archive(tmp_path / "training.tar", "training", photographs / "zidane.jpg", 4)
    validation = archive(tmp_path / "validation.tar", "validation", photographs / "bus.jpg", 1)
    home = tmp_path / "home"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "PYTEST_", "XDG_"))}

    def train(die: str, folder: str) -> subprocess.CompletedProcess[str]:
        arguments = (die, init, training, validation, tmp_path / folder)
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=200,
            env=env | {"HOME": str(home), "TMPDIR": str(home), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )

    killed = train("die", "run")
    assert killed.returncode == 9, killed.stderr
    resumed, undisturbed = train("live", "run"), train("live", "undisturbed")
    assert resumed.returncode == undisturbed.returncode == 0, resumed.stderr + undisturbed.stderr
    epochs = [re.findall(r"(\d/2) +0G", run.stdout) for run in (killed, resumed)]
    assert set(epochs[0]) == {"1/2"}, "progress is shown"
    assert set(epochs[1]) == {"2/2"}, "the first epoch is not repeated"
    told = [re.findall(r"told of (\d) True", run.stdout) for run in (killed, resumed)]
    assert told == [["1"], ["1", "2", "2"]], "what may not have been told is told again"

    assert "asked while training and while validating True" in resumed.stdout
    best = tmp_path / "run" / "best.safetensors"
    assert {"best_epoch", "validation_accuracy"} <= read_metadata(best).keys()
    assert resumed.stdout.endswith(f"once more {best}\n"), "a finished run is not repeated"
    load_weights(detector_network(), best)
    before, after = load_file(init), load_file(best)
    assert any(not torch.equal(before[name], after[name]) for name in before if name.endswith("conv.weight"))
    for name, key in (("best.safetensors", None), ("checkpoint.pt", "network"), ("checkpoint.pt", "average")):
        ended, again = (tensors(tmp_path / folder / name, key) for folder in ("undisturbed", "run"))
        assert all(torch.equal(tensor, again[each]) for each, tensor in ended.items()), (name, key)
    assert not (home / ".config" / "Ultralytics").exists()


def tensors(path: Path, key: str | None) -> dict[str, torch.Tensor]:
    """What a file of weights holds, or a part of a checkpoint."""
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)[key] if key else load_file(path)
    return found


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_pictures_are_degraded_by_chance(probability: float) -> None:
    silence_ultralytics()
    from fer_model.training.face_trainer import Degrade

    picture = noise_picture(64, 64)
    labels = Degrade(probability)({"img": picture, "cls": 0})
    assert labels["cls"] == 0
    assert (labels["img"] != picture).any() == bool(probability)


def test_between_mixes_every_tensor_of_two_networks() -> None:
    silence_ultralytics()
    from fer_model.training.face_trainer import between

    start, end = detector_network(), detector_network()
    known = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    trained = {name: tensor.clone() for name, tensor in end.state_dict().items()}
    mixed = between(start, end, 0.25).state_dict()
    for name, tensor in mixed.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * known[name] + 0.25 * trained[name])
