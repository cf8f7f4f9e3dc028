"""Checks of the machine: its GPU, the weights, and its disks."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from fer_model.engines import actual_device, gpu_count, has_torch
from fer_model.errors import FerModelError, WeightsError
from fer_model.networks.manifest import SHIPPED, ModelSet
from results.database import reading
from results.errors import DatabaseUrlError, ResultsError
from results.urls import file_of, parse_url
from workers.diagnosis.database import opened
from workers.diagnosis.trouble import Trouble
from workers.models import store
from workers.settings import Settings, writable_cache

LEAST_FREE_GB = 2.0

WITHOUT_TORCH = "pip install 'fer-batch[gpu]', or set FER_DEVICE=cpu"

PCI = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"
"""The vendor's number, and the beginning of the class of display controllers (PCI Code and ID Assignment)."""


def device(settings: Settings, pci: Path = PCI) -> str:
    """Whether the networks run where they could. Raises `Trouble`.

    `pci` is the kernel's list of devices: a GPU whose driver does not work is in it.
    """
    cards, gpus = nvidia_cards(pci), gpu_count()
    if gpus and settings.device != "cpu" and not has_torch():
        raise Trouble(f"{gpus} NVIDIA GPU works, but torch is not installed", WITHOUT_TORCH)
    try:
        chosen = actual_device(settings.device)
    except FerModelError as error:
        raise Trouble(str(error), _mend_device(cards)) from error
    if chosen == "cpu" and settings.device != "cpu" and cards:
        raise Trouble(
            f"the driver of {cards} NVIDIA GPU does not answer, so the processor would be used", _mend_device(cards)
        )
    return f"{chosen} will be used ({gpus or 'no'} NVIDIA GPU, {os.cpu_count()} processors)"


def _mend_device(cards: int) -> str:
    if cards:
        return (
            "install the driver (`apt install nvidia-driver`) until `nvidia-smi` lists the GPU; or set FER_DEVICE=cpu"
        )
    return "set FER_DEVICE=auto: this machine has no NVIDIA GPU that it could use"


def nvidia_cards(pci: Path = PCI) -> int:
    """The number of NVIDIA GPUs that the kernel sees, with or without a driver."""
    return sum(
        (device / "vendor").read_text().strip() == NVIDIA and (device / "class").read_text().startswith(DISPLAY)
        for device in (pci.iterdir() if pci.is_dir() else ())
    )


def weights(settings: Settings) -> str:
    """Whether the weights in use are those of their manifest. Raises `Trouble`."""
    try:
        name, models = _in_use(settings)
        models.verify()
    except WeightsError as error:
        raise Trouble(str(error), _mend_weights(settings, str(error))) from error
    return f"{name} is in use: {', '.join(file.name for file in models.files)} have the promised sha256"


def _mend_weights(settings: Settings, found: str) -> str:
    if str(SHIPPED) in found:
        return "install fer-batch again, in a clone: `pip install --force-reinstall --no-deps .`"
    try:
        store.shipped(settings.models_dir).verify()
    except WeightsError:
        # It takes the place of the shipped ones, so promoting those would fail as well.
        return "mend manifest.json in FER_MODELS_DIR, or remove it: then the models shipped take its place"
    return "use those shipped (`fer-batch models promote shipped`), or restore the file in FER_MODELS_DIR"


def _in_use(settings: Settings) -> tuple[str, ModelSet]:
    try:
        with opened(settings) as database, reading(database) as session:
            return store.in_use(session, settings.models_dir)
    except ResultsError:
        # Another check reports the database; without one, the models are those shipped.
        models = store.shipped(settings.models_dir)
        return store.shipped_name(models), models


def disk(settings: Settings) -> str:
    """Whether the cache and a database in a file have room. Raises `Trouble`, `WorkersError`."""
    found = []
    for folder, remedy in _folders(settings).items():
        free = shutil.disk_usage(folder).free / 1e9
        if free < LEAST_FREE_GB:
            raise Trouble(f"only {free:.1f} GB are free at {folder}", remedy)
        found.append(f"{free:.0f} GB are free at {folder}")
    return ", ".join(found)


def _folders(settings: Settings) -> dict[Path, str]:
    """Folders that grow, each with what helps when it is full."""
    folders = {writable_cache(settings.cache_dir): "make room, or set FER_CACHE_DIR to a folder on a larger disk"}
    # Another check reports an address that is none.
    with suppress(DatabaseUrlError):
        url = parse_url(settings.database_url)
        folder = file_of(url).parent
        remedy = "make room (`fer-batch db purge --older-than 30d`), or move the file and set FER_DATABASE_URL"
        if url.get_backend_name() == "sqlite" and folder.is_dir():
            folders.setdefault(folder, remedy)
    return folders
