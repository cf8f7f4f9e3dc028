"""The network use of third-party libraries on import and in use, observed by Python's audit hooks.

Everything runs in processes of its own: the libraries behave better where they see pytest.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fer_model.networks.manifest import ModelSet
from tests.support.checkpoints import random_detector, write_checkpoint

WATCH = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"):
        print("NETWORK", event, arguments)

sys.addaudithook(watch)
"""


def watched(code: str, home: Path, *arguments: object) -> str:
    """The output of a script that prints a line for each attempt to reach the network."""
    foreign = ("YOLO_", "CI", "GITHUB_", "XDG_", "PYTEST_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env |= {"HOME": str(home), "OMP_NUM_THREADS": "1", "TMPDIR": str(home.parent)}
    run = subprocess.run(
        [sys.executable, "-c", WATCH + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env=env,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_the_watch_sees_what_the_libraries_do_if_left_alone(home: Path) -> None:
    """Without this the tests below could pass because the hook is blind."""
    seen = watched("import ultralytics.utils", home)
    assert "NETWORK socket.getaddrinfo" in seen
    assert (home / ".config" / "Ultralytics" / "settings.json").exists()


def test_openvino_is_silent(home: Path) -> None:
    seen = watched("import fer_model.engines.openvino, openvino; assert openvino.convert_model; print('done')", home)
    assert seen == "done\n"
    assert list(home.iterdir()) == []


def test_ultralytics_is_silent(home: Path) -> None:
    code = """
        import PIL.Image
        plain_open = PIL.Image.open
        from fer_model.networks.loading import detector_network
        detector_network()
        assert PIL.Image.open is plain_open
        from ultralytics.utils import ONLINE, SETTINGS
        from ultralytics.utils.events import events
        assert not ONLINE and not SETTINGS["sync"] and not events.enabled
        assert not any(SETTINGS[name] for name in ("clearml", "comet", "dvc", "mlflow", "raytune", "wandb"))
        print("done")
    """
    assert watched(code, home) == "done\n"
    assert list(home.iterdir()) == []
    assert list(home.parent.iterdir()) == [home], "the folder with its settings went with the process"


def test_conversion_is_silent(home: Path, models: ModelSet, tmp_path: Path) -> None:
    code = "import runpy; runpy.run_module('fer_model.engines.convert', run_name='__main__')"
    output = tmp_path / "graph.safetensors"
    assert watched(code, home, "classifier", models.members[0].path, output) == ""
    assert output.exists()
    assert list(home.iterdir()) == []


def test_opening_a_checkpoint_is_silent(home: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "face.pt", random_detector("yolov8n.yaml"))
    code = """
        import sys
        from pathlib import Path
        from fer_model.networks.importing import adopt_detector
        adopt_detector(Path(sys.argv[1]), Path(sys.argv[2]), trusted=True)
    """
    assert watched(code, home, tmp_path / "face.pt", tmp_path / "face.safetensors") == ""
    assert list(home.iterdir()) == []
