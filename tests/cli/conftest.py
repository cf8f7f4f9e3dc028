"""Jobs and labelled faces that several commands are tested with."""

from pathlib import Path

import pytest

from tests.support.commands import succeed
from tests.support.stack import Stack
from tests.support.training_data import write_table

NO_BROKER = {"FER_BROKER_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture(scope="session")
def jobs() -> dict[Stack, str]:
    """What `job` was for each stack."""
    return {}


@pytest.fixture
def job(stack: Stack, samples: Path, jobs: dict[Stack, str]) -> str:
    """The id of a job that the stack's worker has finished."""
    if stack not in jobs:
        words = ("submit", str(samples), "--every", "4", "--name", "samples", "--wait")
        jobs[stack] = succeed(*words, **stack.environment).stdout.strip()
    return jobs[stack]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kaggle's format: three rows to train on, then 28 of PublicTest, then 35 of PrivateTest."""
    usages = ["Training"] * 3 + ["PublicTest"] * 28 + ["PrivateTest"] * 35
    path = tmp_path_factory.mktemp("data") / "fer2013.csv"
    return write_table(path, [(number % 7, usage) for number, usage in enumerate(usages)])


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of our architecture that no catalogue has."""
    import torch

    from fer_model.networks.classifiers import classifier_network
    from fer_model.networks.loading import save_weights

    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_weights(classifier_network(), path)
    return path


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Settings without a broker, a database or anything in the store."""
    return {
        **NO_BROKER,
        "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}",
        "FER_MODELS_DIR": str(tmp_path / "store"),
        "FER_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
    }
