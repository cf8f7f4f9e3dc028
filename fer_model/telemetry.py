"""Disables the telemetry of libraries: this program sends no data anywhere by itself."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def disable_openvino_telemetry() -> None:
    """Call it before importing OpenVINO: the import sends an event to Google Analytics and writes into `~/intel`.

    Without the package `openvino_telemetry` OpenVINO uses a stub of its own, so the package is hidden.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def disable_ultralytics_telemetry() -> None:
    """Call it before importing Ultralytics: no usage events, update checks, downloads or settings in the home folder.

    Its settings are in a temporary folder of this process, not the user's. It writes nothing to stdout.
    """
    if "ultralytics" in sys.modules:
        return
    folder = tempfile.mkdtemp(prefix="fer-ultralytics-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": folder}
    os.environ["YOLO_VERBOSE"] = "False"
    # The trainer downloads this font although it draws nothing; a file of the name is enough.
    own = Path(folder) / "Ultralytics"
    own.mkdir()
    (own / "Arial.ttf").touch()
    import PIL.Image

    plain_open = PIL.Image.open
    from ultralytics.utils import SETTINGS

    # Ultralytics' replacement tries to install a package whenever a file is not a picture.
    PIL.Image.open = plain_open
    services = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
    SETTINGS.update(dict.fromkeys(services, False))
