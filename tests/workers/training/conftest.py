"""A store, settings and faces of the training runs here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.tiny import write_tiny_faces
from workers.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of models of its own."""
    return tmp_path / "models"


@pytest.fixture
def settings(store: Path) -> Settings:
    """The settings of the workers here."""
    return Settings(models_dir=store)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 faces to train on, 14 to validate on."""
    return write_tiny_faces(tmp_path_factory.mktemp("faces") / "fer2013.csv", training=32, validation=14)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Other tests keep their threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
