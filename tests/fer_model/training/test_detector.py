"""Real epochs of Ultralytics' trainer, in processes of their own: it changes global state and warns by itself."""

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

from fer_model.errors import TrainingError
from fer_model.networks.architectures import read_metadata
from fer_model.networks.loading import detector_network, load_weights, save_weights
from fer_model.telemetry import disable_ultralytics_telemetry
from fer_model.training.definitions import DetectorRun
from tests.support.clips import noise_picture


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


WATCH = """
    import os, sys
    from pathlib import Path

    def watch(event, arguments):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
            os.write(2, f"reached for the network: {event} {arguments}".encode())
            os._exit(3)

    sys.addaudithook(watch)
    import torch
    from fer_model.training.definitions import DetectorRun
    from fer_model.training.detector import train_detector
    from fer_model.training.datasets.face_sets import arrange

    torch.set_num_threads(1)
"""

GOING_ON = """
    from fer_model.telemetry import disable_ultralytics_telemetry

    disable_ultralytics_telemetry()
    from fer_model.training import face_trainer

    init, training, validation, folder = map(Path, sys.argv[1:])

    def train(die, name):
        def on_epoch(epoch):
            print("epoch reported", epoch.epoch, 0 <= epoch.validation_accuracy <= 1 and epoch.loss > 0, flush=True)
            if die == "die":
                os._exit(9)

        validating = set()

        def before_batch():
            validating.add(torch.is_inference_mode_enabled())

        # As on another machine.
        sets = arrange([training], validation, folder / f"{name}-{die}")
        run = DetectorRun(epochs=2, batch=2), init, sets, folder / name, on_epoch, before_batch
        train_detector(*run)
        print("called in training and in validation", validating == {False, True})
        print("once more", train_detector(*run), flush=True)

    # Each in a process of its own; forks need not import torch and Ultralytics again.
    for die, name in (("die", "run"), ("live", "run"), ("live", "undisturbed")):
        if not (pid := os.fork()):
            train(die, name)
            os._exit(0)
        print(f"{name} ended:", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""

ENDINGS = """
    import errno, shutil
    from fer_model.telemetry import disable_ultralytics_telemetry

    disable_ultralytics_telemetry()
    from fer_model.training import face_trainer

    init, training, validation, folder = map(Path, sys.argv[1:])
    run, sets = DetectorRun(epochs=2, batch=2), arrange([training], validation, folder / "data")

    def train(name, on_epoch=lambda epoch: None, before_batch=lambda: None):
        kept = folder / name / "best.safetensors"
        before = kept.read_bytes() if kept.exists() else None
        try:
            train_detector(run, init, sets, folder / name, on_epoch, before_batch)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}; best as before: {before == kept.read_bytes()}")

    def after_the_first(epoch):
        raise KeyError("ended")

    train("start", after_the_first)
    for name in ("cancelled", "broken", "full", "gone"):
        shutil.copytree(folder / "start", folder / name)

    def cancel():
        if torch.is_inference_mode_enabled():
            raise KeyError("cancelled")

    train("cancelled", before_batch=cancel)

    checkpoint = folder / "broken" / "checkpoint.pt"
    saved = torch.load(checkpoint, weights_only=True)
    next(tensor for tensor in saved["network"].values() if tensor.ndim == 4).fill_(float("nan"))
    torch.save(saved, checkpoint)
    train("broken")

    def full(content, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    plain, face_trainer.save_checkpoint = face_trainer.save_checkpoint, full
    train("full")
    face_trainer.save_checkpoint = plain

    def take_away():
        for path in folder.glob("data/unpacked-0/images/*/*"):
            path.unlink()

    train("gone", before_batch=take_away)
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of random weights."""
    torch.manual_seed(0)
    init = tmp_path_factory.mktemp("start") / "init.safetensors"
    save_weights(detector_network(), init)
    return init


def run_script(script: str, home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs it, after `WATCH`, with a home folder of its own and without this test's variables in the environment."""
    home.mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "PYTEST_", "XDG_"))}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WATCH + script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=500,
        env=env | {"HOME": str(home), "TMPDIR": str(home), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )


def test_a_killed_run_goes_on_to_the_very_same_weights_and_reaches_for_no_network(
    tmp_path: Path, photographs: Path, start: Path
) -> None:
    training = archive(tmp_path / "training.tar", "training", photographs / "zidane.jpg", 4)
    validation = archive(tmp_path / "validation.tar", "validation", photographs / "bus.jpg", 1)
    home = tmp_path / "home"
    script = run_script(GOING_ON, home, start, training, validation, tmp_path)
    assert script.returncode == 0, script.stderr
    killed, killed_code, resumed, resumed_code, _, undisturbed_code = re.split(
        r"^\w+ ended: (\d+)\n", script.stdout, flags=re.MULTILINE
    )[:6]
    assert (killed_code, resumed_code, undisturbed_code) == ("9", "0", "0"), script.stderr
    epochs = [re.findall(r"epoch reported (\d) True", output) for output in (killed, resumed)]
    # No epoch is repeated, and the last epoch's callback is called again.
    assert epochs == [["1"], ["1", "2", "2"]]

    assert "called in training and in validation True" in resumed
    best = tmp_path / "run" / "best.safetensors"
    # The epoch's figure is not that of the saved weights.
    assert "best_epoch" in read_metadata(best) and "validation_accuracy" not in read_metadata(best)
    assert resumed.endswith(f"once more {best}\n"), "a finished run is not repeated"
    assert {path.name for path in best.parent.iterdir()} == {"checkpoint.pt", "best.safetensors"}
    load_weights(detector_network(), best)
    before, after = load_file(start), load_file(best)
    assert any(not torch.equal(before[name], after[name]) for name in before if name.endswith("conv.weight"))
    for name, key in (("best.safetensors", None), ("checkpoint.pt", "network"), ("checkpoint.pt", "average")):
        ended, again = (tensors(tmp_path / folder / name, key) for folder in ("undisturbed", "run"))
        assert all(torch.equal(tensor, again[each]) for each, tensor in ended.items()), (name, key)
    assert not (home / ".config" / "Ultralytics").exists()


def test_whatever_ends_a_run_is_named_and_the_best_weights_stay(tmp_path: Path, photographs: Path, start: Path) -> None:
    training = archive(tmp_path / "training.tar", "training", photographs / "zidane.jpg", 4)
    validation = archive(tmp_path / "validation.tar", "validation", photographs / "bus.jpg", 1)
    run = run_script(ENDINGS, tmp_path / "home", start, training, validation, tmp_path)
    assert run.returncode == 0, run.stderr
    outcome = dict(line.split(": ", 1) for line in run.stdout.splitlines() if ": " in line)
    assert outcome["start"].startswith("KeyError: 'ended'")
    assert outcome["cancelled"] == "KeyError: 'cancelled'; best as before: True"
    number = "TrainingError: the loss is no longer a number in epoch 2; lower the learning rate"
    assert outcome["broken"] == f"{number}; best as before: True"
    full = f"TrainingError: {tmp_path / 'full'}: the checkpoint cannot be written (the disk is full)"
    assert outcome["full"].startswith(full)
    assert outcome["gone"].startswith(f"TrainingError: {tmp_path / 'data'}: the training cannot go on (")
    assert outcome["gone"].endswith("best as before: True")
    for name in ("start", "full"):
        assert read_metadata(tmp_path / name / "best.safetensors")["best_epoch"] in ("1", "2")


def tensors(path: Path, key: str | None) -> dict[str, torch.Tensor]:
    """The tensors of a weights file, or of a part of a checkpoint."""
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)[key] if key else load_file(path)
    return found


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_pictures_are_degraded_by_chance(probability: float) -> None:
    disable_ultralytics_telemetry()
    from fer_model.training.face_trainer import Degrade

    picture = noise_picture(64, 64)
    labels = Degrade(probability)({"img": picture, "cls": 0})
    assert labels["cls"] == 0
    assert (labels["img"] != picture).any() == bool(probability)


def test_gradients_that_are_no_numbers_end_a_run_before_they_reach_the_weights() -> None:
    disable_ultralytics_telemetry()
    from fer_model.training.face_trainer import FaceTrainer

    trainer = FaceTrainer.__new__(FaceTrainer)
    trainer.definition, trainer.batches, trainer.train_loader, trainer.epoch = DetectorRun(batch=2), 1, [0], 0
    trainer.model = torch.nn.Linear(2, 1)
    before = trainer.model.weight.detach().clone()
    trainer.model.weight.grad = torch.tensor([[1.0, torch.inf]])
    with pytest.raises(TrainingError, match="no longer a number in epoch 1"):
        trainer.optimizer_step()
    assert torch.equal(trainer.model.weight, before)


def test_interpolate_mixes_every_tensor_of_two_networks() -> None:
    disable_ultralytics_telemetry()
    from fer_model.training.face_trainer import interpolate

    start, end = detector_network(), detector_network()
    known = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    trained = {name: tensor.clone() for name, tensor in end.state_dict().items()}
    mixed = interpolate(start, end, 0.25).state_dict()
    for name, tensor in mixed.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * known[name] + 0.25 * trained[name])
