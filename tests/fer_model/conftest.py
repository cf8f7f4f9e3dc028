from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fer_model.engines import Engine, load_engine
from fer_model.engines.torch import TorchEngine
from fer_model.networks.manifest import SHIPPED, ModelSet, read_models
from fer_model.samples import PHOTOGRAPHS


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread: another order of summation changes the last digit, and other cores stay free."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models() -> ModelSet:
    """The shipped weights."""
    if not (SHIPPED / "manifest.json").exists():
        pytest.skip("fer_model/weights/manifest.json is not there: no weights are shipped yet")
    return read_models()


@pytest.fixture(scope="session")
def openvino_engine(models: ModelSet, cache: Path) -> Engine:
    return load_engine(models, "cpu", cache)


@pytest.fixture(scope="session")
def float_engine(models: ModelSet, cache: Path) -> Engine:
    """OpenVINO with the detector in floats, as it runs one without a shipped graph."""
    return load_engine(replace(models, detector=replace(models.detector, graph=None)), "cpu", cache)


@pytest.fixture(scope="session")
def reference(models: ModelSet) -> TorchEngine:
    """Torch in single precision on the CPU, the reference for other engines."""
    return TorchEngine(models, "cpu", half=False)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder with zidane.jpg and bus.jpg."""
    return PHOTOGRAPHS
