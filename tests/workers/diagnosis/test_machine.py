"""What `doctor` finds at a machine, and the remedy that it names."""

import json
import shutil
from pathlib import Path

import pytest

from fer_model.engines import gpu_count
from fer_model.networks.manifest import SHIPPED
from tests.support.disks import small_disk
from tests.support.doctor import trouble
from workers.diagnosis import machine
from workers.settings import Settings


def pci_device(folder: Path, name: str, vendor: str, kind: str) -> None:
    """A device as Linux lists it below /sys/bus/pci/devices."""
    (folder / name).mkdir(parents=True)
    (folder / name / "vendor").write_text(f"{vendor}\n")
    (folder / name / "class").write_text(f"{kind}\n")


@pytest.mark.skipif(gpu_count() > 0, reason="this machine's GPU works")
def test_a_gpu_without_a_driver(tmp_path: Path) -> None:
    pci_device(tmp_path, "0000:01:00.0", "0x10de", "0x030200")
    # Its sound, and another maker's display.
    pci_device(tmp_path, "0000:01:00.1", "0x10de", "0x040300")
    pci_device(tmp_path, "0000:02:00.0", "0x1002", "0x030000")
    error = trouble(machine.device, Settings(device="auto"), tmp_path)
    assert "1 NVIDIA GPU" in str(error) and "nvidia-smi" in error.mend
    assert "cpu will be used" in machine.device(Settings(device="cpu"), tmp_path)


@pytest.mark.skipif(gpu_count() > 0, reason="this machine's GPU works")
def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    assert "FER_DEVICE=auto" in trouble(machine.device, Settings(device="cuda:0"), tmp_path).mend
    assert "cpu will be used" in machine.device(Settings(device="auto"), tmp_path / "no list")


def test_weights_that_are_missing_or_altered(tmp_path: Path) -> None:
    for file in SHIPPED.glob("*.*"):
        shutil.copy(file, tmp_path)
    settings = Settings(models_dir=tmp_path, database_url="sqlite:////nowhere/results.db")
    assert "have the promised sha256" in machine.weights(settings)
    detector = tmp_path / json.loads((tmp_path / "manifest.json").read_text())["detector"]["file"]
    detector.write_bytes(detector.read_bytes() + b"\0")
    assert "promised was" in str(trouble(machine.weights, settings))
    detector.unlink()
    error = trouble(machine.weights, settings)
    assert "cannot be read" in str(error) and "mend manifest.json in FER_MODELS_DIR" in error.mend
    (tmp_path / "manifest.json").unlink()
    assert "have the promised sha256" in machine.weights(settings), "the remedy mends it"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "900k") as disk:
        error = trouble(machine.disk, Settings(cache_dir=disk))
        assert f"only 0.0 GB are free at {disk}" in str(error) and "FER_CACHE_DIR" in error.mend
        error = trouble(machine.disk, Settings(cache_dir=tmp_path, database_url=f"sqlite:///{disk / 'results.db'}"))
        assert "db purge" in error.mend


def test_the_disk_of_a_database_that_a_uri_names(tmp_path: Path) -> None:
    settings = Settings(cache_dir=tmp_path / "cache", database_url=f"sqlite:///file:{tmp_path / 'results.db'}?uri=true")
    assert machine.disk(settings).endswith(f"GB are free at {tmp_path}")


def test_a_gpu_that_only_lacks_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpu_count", lambda: 1)
    monkeypatch.setattr(machine, "has_torch", lambda: False)
    error = trouble(machine.device, Settings(device="auto"), tmp_path)
    assert "torch is not installed" in str(error) and "pip install 'fer-batch[gpu]'" in error.mend
