import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fer_model.engines import Engine, load_engine
from fer_model.engines.torch import TorchEngine
from fer_model.manifest import SHIPPED, Models, read_models

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in another order would differ in the last digit; and tests should leave the other cores alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models() -> Models:
    """The shipped weights."""
    if not (SHIPPED / "manifest.json").exists():
        pytest.skip("fer_model/weights/manifest.json is not there: no weights are shipped yet")
    return read_models()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def openvino_engine(models: Models, cache: Path) -> Engine:
    return load_engine(models, "cpu", cache)


@pytest.fixture(scope="session")
def reference(models: Models) -> Engine:
    """Torch in single precision on the CPU, against which other engines are held."""
    return TorchEngine(models, "cpu", half=False)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Pictures and videos that are not part of the repository."""
    folder = Path(os.environ.get("FER_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; FER_TEST_DATA may name the folder with the test data")
    return folder
