"""Pulling from the registry and adding own files; a local server stands in for the internet."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.engines.torch import TorchEngine
from fer_model.errors import DownloadError, WeightsError
from fer_model.networks.download import PIECE, Report
from fer_model.networks.loading import save_weights
from fer_model.networks.manifest import ModelSet
from fer_model.networks.published import REGISTRY, Remote
from results import catalogue
from results.database import connect, reading, upgrade, writing
from results.tables import Model
from tests.support.checkpoints import random_classifier, random_detector, write_checkpoint, write_pth
from tests.support.servers import FileServer, serving
from workers.models import store
from workers.models.pulling import add, pull
from workers.settings import Settings


def git_digest(content: bytes) -> str:
    """The id of a git blob, as the registry has it."""
    return f"git:{hashlib.sha1(b'blob %d' % len(content) + bytes(1) + content).hexdigest()}"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Each address of the registry -> its content: networks with random weights."""
    folder = tmp_path_factory.mktemp("published")
    first, second = (file.address for file in REGISTRY["original"].files)
    return {
        f"/{first}": write_pth(folder / "first.pth", random_classifier(1)),
        f"/{second}": write_pth(folder / "second.pth", random_classifier(2)),
        f"/{REGISTRY['yolov12n-face'].files[0].address}": write_checkpoint(folder / "face.pt", random_detector()),
    }


@pytest.fixture
def server(published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """The registry's server, and a registry with the stand-ins' digests."""
    for name, entry in REGISTRY.items():
        files = (replace(file, digest=git_digest(published[f"/{file.address}"])) for file in entry.files)
        monkeypatch.setitem(REGISTRY, name, replace(entry, files=tuple(files)))
    with serving(FileServer(dict(published))) as running:
        yield running


@pytest.fixture
def settings(server: FileServer, tmp_path: Path) -> Settings:
    """That registry, and an empty store."""
    return Settings(registry_url=server.url, models_dir=tmp_path / "store")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """SQLite alone: test_store and test_catalogue try both."""
    url = f"sqlite:///{tmp_path / 'results.db'}"
    upgrade(url)
    database = connect(url)
    yield database
    database.dispose()


def silent(remote: Remote) -> Report:
    return lambda done, size: None


def resolved(database: Database, models_dir: Path, name: str) -> ModelSet:
    with reading(database) as session:
        return store.resolve(session, models_dir, catalogue.find_ensemble(session, name))


def test_the_registry_is_complete() -> None:
    for name, entry in REGISTRY.items():
        assert entry.name == name and all(file.digest for file in entry.files)
        assert len(entry.shares) in (0, len(entry.files)) and sum(entry.shares) in (0, pytest.approx(1))


def test_the_original_is_pulled_though_the_connection_breaks(
    database: Database, models: ModelSet, server: FileServer, settings: Settings
) -> None:
    server.cuts = [len(next(iter(server.files.values()))) // 2]
    rows, name = pull(database, settings, "original", silent)
    assert len(server.requests) == 3 and str(server.requests[1][1]).startswith("bytes=")
    assert [(row.name, row.kind, row.source) for row in rows] == [
        ("original-crp", "classifier", "pulled"),
        ("original-mixup-cutmix", "classifier", "pulled"),
    ]
    assert rows[0].facts["digest"] == REGISTRY["original"].files[0].digest
    chosen = resolved(database, settings.models_dir, name)
    assert (name, chosen.shares, chosen.detector) == ("original", (0.45, 0.55), models.detector)
    assert not list((store.folder(settings.models_dir) / "downloads").iterdir())
    store.promote(database, settings.models_dir, name)
    outputs = TorchEngine(chosen, "cpu", half=False).classify(torch.randint(0, 256, (2, 48, 48)).byte().numpy())
    assert outputs.shape == (2, 2, 7)


def test_a_detector_is_pulled_with_its_architecture(
    database: Database, models: ModelSet, server: FileServer, settings: Settings
) -> None:
    (row,), name = pull(database, settings, "yolov12n-face", silent)
    assert (row.kind, row.architecture) == ("detector", "yolo n: Conv, C3k2, A2C2f")
    chosen = resolved(database, settings.models_dir, name)
    assert chosen.members == models.members and chosen.detector.sha256 == row.sha256
    store.promote(database, settings.models_dir, name)


def test_pulling_twice_is_pulling_once(database: Database, server: FileServer, settings: Settings) -> None:
    first, second = (pull(database, settings, "original", silent) for _ in range(2))
    assert [row.id for row in first[0]] == [row.id for row in second[0]] and first[1] == second[1]


def test_a_detector_pulled_beside_other_classifiers_is_another_ensemble(
    database: Database, models: ModelSet, server: FileServer, settings: Settings
) -> None:
    _, first = pull(database, settings, "yolov12n-face", silent)
    store.promote(database, settings.models_dir, pull(database, settings, "original", silent)[1])
    _, second = pull(database, settings, "yolov12n-face", silent)
    assert second.startswith("yolov12n-face-")
    assert (
        resolved(database, settings.models_dir, second).members
        != resolved(database, settings.models_dir, first).members
        == models.members
    )


def test_other_bytes_than_promised_reach_neither_the_store_nor_the_catalogue(
    database: Database, server: FileServer, settings: Settings
) -> None:
    for path in server.files:
        server.files[path] = b"something else"
    for name in REGISTRY:
        with pytest.raises(DownloadError, match="is not the file that was promised"):
            pull(database, settings, name, silent)
    assert not list((store.folder(settings.models_dir) / "downloads").iterdir())
    with reading(database) as session:
        assert list(catalogue.list_models(session)) == []


def test_what_is_not_verified_needs_trust(database: Database, server: FileServer, settings: Settings) -> None:
    server.files["/newer/yolov13n-face.pt"] = next(server.files[path] for path in server.files if path.endswith(".pt"))
    url = f"{server.url}/newer/yolov13n-face.pt"
    with pytest.raises(DownloadError, match="add --trust"):
        pull(database, settings, url, silent)
    assert server.requests == []
    (row,), name = pull(database, settings, url, silent, trust=True)
    assert row.name == name == "yolov13n-face" and row.facts["digest"] is None
    with pytest.raises(DownloadError, match="'nothing' is not in the registry; it knows original, yolov12n-face"):
        pull(database, settings, "nothing", silent)


def test_files_of_one_name_are_not_mixed_up(database: Database, server: FileServer, settings: Settings) -> None:
    """An interrupted download resumes, although a file of the same name was downloaded from elsewhere meanwhile."""
    promised = REGISTRY["yolov12n-face"].files[0]
    elsewhere = f"/elsewhere/{Path(promised.address).name}"
    server.files[elsewhere] = server.files[f"/{promised.address}"]

    def interrupt(done: int, size: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(database, settings, "yolov12n-face", lambda remote: interrupt)
    pull(database, settings, server.url + elsewhere, silent, trust=True)
    pull(database, settings, "yolov12n-face", silent)
    assert [requested for _, requested in server.requests] == [None, None, f"bytes={PIECE}-"]


def test_own_files_are_added(database: Database, server: FileServer, tmp_path: Path, settings: Settings) -> None:
    save_weights(random_classifier(3), tmp_path / "mine.safetensors")
    write_pth(tmp_path / "mine.pth", random_classifier(4))
    write_checkpoint(tmp_path / "face.pt", random_detector("yolov8n.yaml"))
    assert add(database, settings.models_dir, tmp_path / "mine.safetensors", "mine").kind == "classifier"
    assert add(database, settings.models_dir, tmp_path / "mine.pth", "older").source == "given"
    with pytest.raises(WeightsError, match=r"face\.pt: is a pickle, .* add --trust"):
        add(database, settings.models_dir, tmp_path / "face.pt", "face")
    assert add(database, settings.models_dir, tmp_path / "face.pt", "face", trust=True).kind == "detector"
    with pytest.raises(WeightsError, match="there is no such file"):
        add(database, settings.models_dir, tmp_path / "none.pt", "none")
    with pytest.raises(WeightsError, match="another architecture"):
        add(database, settings.models_dir, tmp_path / "mine.safetensors", "wrong", "detector")
    with writing(database) as session:
        assert {model.name for model in session.scalars(select(Model))} == {"mine", "older", "face"}


def test_a_checkpoint_that_the_registry_knows_needs_no_trust(
    database: Database, server: FileServer, published: dict[str, bytes], tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "copied.pt").write_bytes(published[f"/{REGISTRY['yolov12n-face'].files[0].address}"])
    assert add(database, settings.models_dir, tmp_path / "copied.pt", "face").kind == "detector"
