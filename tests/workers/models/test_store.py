"""The store of weights, and which ensemble is in use, on both databases."""

import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import event, select

from fer_model.digests import digest
from fer_model.engines.graphs import graph_of
from fer_model.errors import WeightsError
from fer_model.networks.manifest import ModelSet, WeightsFile
from results import catalogue
from results.database import connect, reading, writing
from results.errors import NameTakenError, UnknownEnsembleError
from results.tables import Ensemble, Model
from workers.models import inventory, store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of this test's own."""
    return tmp_path / "store"


def one_member(database: Database, folder: Path, models: ModelSet, name: str = "one") -> ModelSet:
    """An ensemble of the shipped detector and the first shipped classifier, in the catalogue."""
    chosen = replace(models, members=models.members[:1], shares=(1.0,))
    with writing(database) as session:
        store.register(session, folder, models)
        store.add_ensemble(session, folder, name, chosen)
    return chosen


def in_use(database: Database, folder: Path) -> tuple[str, ModelSet]:
    with reading(database) as session:
        return store.in_use(session, folder)


def test_weights_are_kept_under_their_sha256(models: ModelSet, folder: Path) -> None:
    file = models.members[0]
    assert [store.keep(folder, file.path), store.keep(folder, file.path)] == [file.sha256] * 2
    (kept,) = folder.iterdir()
    assert kept == store.stored(folder, file.sha256) and kept.read_bytes() == file.path.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o644
    kept.write_bytes(b"damaged")
    store.keep(folder, file.path)
    assert kept.read_bytes() == file.path.read_bytes()


def test_the_shipped_ensemble_is_in_use_and_registered_once(database: Database, models: ModelSet, folder: Path) -> None:
    assert in_use(database, folder) == (store.shipped_name(models), models)
    ids = []
    for _ in range(2):
        with writing(database) as session:
            ensemble_id, found = store.current(session, folder)
            ids.append(ensemble_id)
    assert ids[0] == ids[1] and found == models
    with reading(database) as session:
        assert [model.source for model in session.scalars(select(Model))] == ["shipped"] * 3


def test_what_is_registered_is_not_written_again(database: Database, folder: Path) -> None:
    """Workers register at each shard, and a failing INSERT would be an error in PostgreSQL's log."""
    written: list[str] = []

    def listen(connection: object, cursor: object, statement: str, *rest: object) -> None:
        written.extend([statement] if statement.startswith("INSERT") else [])

    with writing(database) as session:
        store.current(session, folder)
    event.listen(database, "before_cursor_execute", listen)
    with writing(database) as session:
        store.current(session, folder)
    event.remove(database, "before_cursor_execute", listen)
    assert written == []


def test_promoting_and_going_back(database: Database, models: ModelSet, folder: Path) -> None:
    chosen = one_member(database, folder, models)
    assert store.promote(database, folder, "one").name == "one"
    name, found = in_use(database, folder)
    assert name == "one" and found.key == chosen.key
    kept = {file.sha256 for file in chosen.files} | {
        f"{file.sha256}-{file.graph.sha256}" for file in chosen.files if file.graph
    }
    assert {path.stem for path in folder.iterdir()} == kept and len(kept) == 4, "outlives the release"
    assert store.promote(database, folder, "shipped").name == store.shipped_name(models)
    assert in_use(database, folder) == (store.shipped_name(models), models)


@pytest.mark.parametrize("name", ["one", None], ids=["a user's", "shipped, by its name"])
def test_a_later_release_does_not_change_what_is_promoted(
    name: str | None, database: Database, models: ModelSet, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    one_member(database, folder, models)
    chosen = store.promote(database, folder, name or store.shipped_name(models)).name
    later = WeightsFile("later", Path("later.safetensors"), "f" * 64)
    monkeypatch.setattr(store, "shipped", lambda _: ModelSet(later, (later,), (1.0,), margin=0.0))
    used, found = in_use(database, folder)
    assert used == chosen
    for file in found.files:
        file.verify()
        assert file.path.parent == folder
        # Without the graph a worker on a processor would have to convert the weights, with torch.
        graph = graph_of(file, "classifier", folder / "cache")
        assert graph.parent == folder and digest(graph, "sha256") in graph.stem
    with writing(database) as session:
        assert store.current(session, folder)[1] == found, "for a worker too"


def test_of_two_graphs_of_the_same_weights_the_last_kept_one_is_taken(
    database: Database, models: ModelSet, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Two releases convert the same weights differently; one is installed, then the other, then the first again."""
    one_member(database, folder, models)
    member, other = models.members[:2]
    converted_anew = replace(models, members=(replace(member, graph=other.graph), other))
    later = replace(models, detector=other, members=(other,), shares=(1.0,))
    for release in (models, converted_anew, models):
        monkeypatch.setattr(store, "shipped", lambda _, release=release: release)
        store.promote(database, folder, "one")
        monkeypatch.setattr(store, "shipped", lambda _: later)
        (found,) = in_use(database, folder)[1].members
        assert found.path.parent == folder and found.graph and release.members[0].graph
        assert found.graph.sha256 == release.members[0].graph.sha256 == digest(found.graph.path, "sha256")


def test_what_an_earlier_release_shipped_and_was_not_kept_is_named(
    database: Database, models: ModelSet, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    name = store.shipped_name(models)
    with writing(database) as session:
        store.register(session, folder, models)
    assert len(inventory.verify(database, folder, [])) == 3
    later = replace(models, detector=models.members[0], members=models.members[:1], shares=(1.0,))
    monkeypatch.setattr(store, "shipped", lambda _: later)
    with pytest.raises(WeightsError, match=f"^{name} came with an earlier release, and its weights were not kept"):
        store.promote(database, folder, name)
    assert [(verdict.id, verdict.ok) for verdict in inventory.verify(database, folder, [])] == [
        (later.detector.id, True)
    ]
    (named,) = inventory.verify(database, folder, [models.detector.id])
    assert not named.ok, "one that is asked for is reported"


@pytest.mark.parametrize("content", [None, b"other bytes"])
def test_what_cannot_be_used_is_not_promoted(
    database: Database, models: ModelSet, folder: Path, content: bytes | None
) -> None:
    one_member(database, folder, models)
    with writing(database) as session:
        model = catalogue.add_model(
            session, name="lost", kind="classifier", sha256="f" * 64, architecture="a", source="given"
        )
        lost = store.weights_file(folder, model, models)
        store.add_ensemble(session, folder, "lost", replace(models, members=(lost,), shares=(1.0,)))
    if content is not None:
        folder.mkdir()
        lost.path.write_bytes(content)
    store.promote(database, folder, "one")
    with pytest.raises(WeightsError, match=f"{lost.path}: "):
        store.promote(database, folder, "lost")
    with pytest.raises(UnknownEnsembleError):
        store.promote(database, folder, "nothing")
    assert in_use(database, folder)[0] == "one"


def test_a_name_stands_for_one_choice(database: Database, models: ModelSet, folder: Path) -> None:
    one_member(database, folder, models)
    one_member(database, folder, models)
    with pytest.raises(NameTakenError), writing(database) as session:
        store.add_ensemble(session, folder, "one", models)


def test_a_manifest_in_the_store_replaces_the_shipped(database: Database, models: ModelSet, folder: Path) -> None:
    folder.mkdir()
    for file in models.detector.path.parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    with writing(database) as session:
        ensemble_id, found = store.current(session, folder)
        name = session.get_one(Ensemble, ensemble_id).name
        assert [(model.source, model.licence) for model in session.scalars(select(Model))] == [("given", None)] * 3
    assert found.detector.path.parent == folder and name.startswith("given-")


def test_two_processes_may_register_at_once(migrated_url: str, folder: Path) -> None:
    code = """
        import sys
        from results.database import connect, writing
        from pathlib import Path
        from workers.models import store
        with writing(connect(sys.argv[1])) as session:
            print(store.current(session, Path(sys.argv[2]))[0])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), migrated_url, str(folder)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {run.communicate(timeout=60)[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0] and len(answers) == 1
    database = connect(migrated_url)
    with reading(database) as session:
        assert len(session.scalars(select(Model)).all()) == 3
        assert len(session.scalars(select(Ensemble)).all()) == 1
    database.dispose()


def test_readers_see_the_one_or_the_other(database: Database, models: ModelSet, folder: Path) -> None:
    keys = {
        name: one_member(database, folder, replace(models, margin=margin), name).key
        for name, margin in (("a", 0), ("b", 1))
    }
    store.promote(database, folder, "a")
    ended = threading.Event()
    seen: set[tuple[str, str]] = set()

    def read() -> None:
        while not ended.is_set():
            name, found = in_use(database, folder)
            seen.add((name, found.key))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for round_number in range(20):
        store.promote(database, folder, "ba"[round_number % 2])
    ended.set()
    for reader in readers:
        reader.join()
    assert seen == set(keys.items())
