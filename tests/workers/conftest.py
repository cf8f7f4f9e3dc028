"""The networks, in this process."""

from pathlib import Path

import pytest

from fer_model.engines import Engine, load_engine
from fer_model.networks.manifest import ModelSet, read_models


@pytest.fixture(scope="session")
def models() -> ModelSet:
    """The shipped models."""
    return read_models()


@pytest.fixture(scope="session")
def networks(models: ModelSet, cache: Path) -> Engine:
    """The engine that a worker without a GPU uses."""
    return load_engine(models, "cpu", cache)
