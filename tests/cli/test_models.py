"""`fer-batch models`: what there is, promoting while a worker runs, pulling from a server that breaks off."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fer_model.networks.loading import save_weights
from fer_model.networks.manifest import SHIPPED, read_models
from results.database import connect, writing
from tests.support.checkpoints import random_classifier, write_pth
from tests.support.commands import fer_batch, succeed
from tests.support.databases import query
from tests.support.servers import FileServer, serving
from tests.support.stack import Stack
from workers.models import store
from workers.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def surroundings(tmp_path: Path, folder: Path) -> dict[str, str]:
    """An empty store, and a database that does not exist yet."""
    return {"FER_MODELS_DIR": str(folder), "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'results.db'}"}


def listed(environment: dict[str, str]) -> dict[str, list[str]]:
    found = json.loads(succeed("models", "list", "--json", **environment).stdout)
    return {
        "models": [row["name"] for row in found["models"]],
        "ensembles": [row["name"] for row in found["ensembles"]],
        "in_use": [row["name"] for row in found["ensembles"] if row["in_use"]],
    }


def test_what_is_shipped_is_listed_without_a_database(surroundings: dict[str, str], tmp_path: Path) -> None:
    shipped = read_models()
    found = listed(surroundings)
    assert found["models"] == [file.name for file in shipped.files]
    assert found["ensembles"] == found["in_use"] == [store.shipped_name(shipped)]
    for words in (("list",), ("show", "shipped"), ("show", shipped.detector.name), ("verify",)):
        run = succeed("models", *words, **surroundings)
        assert shipped.detector.name in run.stdout and not run.stderr
    assert list(tmp_path.iterdir()) == [], "looking makes no database and no store"


def test_a_model_is_shown_with_its_card(surroundings: dict[str, str]) -> None:
    shipped = read_models()
    shown = json.loads(succeed("models", "show", shipped.members[0].name, "--json", **surroundings).stdout)
    assert shown["sha256"] == shipped.members[0].sha256 and shown["licence"] == "AGPL-3.0"
    assert "**Limits.**" in shown["card"] and shown["ensembles"] == [store.shipped_name(shipped)]
    text = succeed("models", "show", shown["id"], **surroundings).stdout
    assert shown["card"].strip() in text and f"sha256: {shown['sha256']}" in text
    ensemble = json.loads(succeed("models", "show", "shipped", "--json", **surroundings).stdout)
    assert [member["share"] for member in ensemble["members"]] == list(shipped.shares) and ensemble["in_use"]
    run = fer_batch("models", "show", "nothing", **surroundings)
    assert run.returncode == 1 and run.stderr.startswith("Error: There is no model 'nothing'")


def test_a_card_of_another_encoding_is_shown(surroundings: dict[str, str], folder: Path) -> None:
    shutil.copytree(SHIPPED, folder)
    name = read_models().detector.name
    (folder / f"{name}.md").write_bytes("Grenzen: große Gesichter".encode("latin-1"))
    assert "Grenzen: gro\N{REPLACEMENT CHARACTER}e" in succeed("models", "show", name, **surroundings).stdout


def test_own_weights_are_added_shown_and_verified(surroundings: dict[str, str], folder: Path, tmp_path: Path) -> None:
    save_weights(random_classifier(), tmp_path / "mine.safetensors")
    model_id = succeed("models", "add", str(tmp_path / "mine.safetensors"), "--name", "mine", **surroundings).stdout
    assert "mine" in listed(surroundings)["models"]
    (kept,) = folder.glob("*.safetensors")
    assert kept.name.startswith(model_id.strip())
    kept.write_bytes(b"damaged")
    run = fer_batch("models", "verify", "--json", **surroundings)
    verdicts = {verdict["name"]: verdict for verdict in json.loads(run.stdout)}
    wrong = [name for name, verdict in verdicts.items() if not verdict["ok"]]
    assert run.returncode == 1 and wrong == ["mine"] and len(verdicts) == 1 + len(read_models().files)
    assert "sha256 is" in verdicts["mine"]["problem"]
    assert fer_batch("models", "verify", "mine", **surroundings).returncode == 1
    succeed("models", "verify", read_models().detector.name, **surroundings)


def test_weights_that_are_there_already_keep_their_name(surroundings: dict[str, str], tmp_path: Path) -> None:
    save_weights(random_classifier(), tmp_path / "mine.safetensors")
    words = ("models", "add", str(tmp_path / "mine.safetensors"), "--name")
    first, same, other = (succeed(*words, name, **surroundings) for name in ("mine", "mine", "yours"))
    assert first.stdout == same.stdout == other.stdout and first.stderr == same.stderr == ""
    assert other.stderr == f"Note: these weights are in the catalogue already, as mine ({first.stdout.strip()}).\n"


def test_what_cannot_be_promoted_changes_nothing(surroundings: dict[str, str]) -> None:
    succeed("db", "upgrade", **surroundings)
    run = fer_batch("models", "promote", "nothing", **surroundings)
    assert run.returncode == 1 and run.stderr.startswith("Error: There is no ensemble 'nothing'")
    assert listed(surroundings)["in_use"] == [store.shipped_name(read_models())]


def test_a_release_is_pinned_by_its_own_name_until_shipped_is_promoted(surroundings: dict[str, str]) -> None:
    name = store.shipped_name(read_models())
    uses = []
    for promoted in (name, "shipped"):
        succeed("models", "promote", promoted, **surroundings)
        (row,) = (line for line in succeed("models", "list", **surroundings).stdout.splitlines() if name in line)
        uses.append(row.split()[1])
    assert uses == ["pinned", "yes"]


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer({})) as running:
        yield running


def test_a_pull_tells_how_far_it_is_and_fails_in_one_sentence(
    surroundings: dict[str, str], server: FileServer, tmp_path: Path
) -> None:
    content = write_pth(tmp_path / "theirs.pth", random_classifier())
    server.files["/lies.pt"] = content
    run = fer_batch("models", "pull", f"{server.url}/lies.pt", "--trust", **surroundings)
    progress, sentence = run.stderr.strip().splitlines()
    assert run.returncode == 1 and progress == f"lies: {len(content) / 1e6:.1f} of {len(content) / 1e6:.1f} MB"
    assert sentence.startswith("Error: ") and "cannot be read as an Ultralytics checkpoint" in sentence
    run = fer_batch("models", "pull", "original", **surroundings, FER_REGISTRY_URL=server.url)
    assert run.returncode == 1 and "there is no such file (404)" in run.stderr and "Traceback" not in run.stderr
    assert "original" not in listed(surroundings)["ensembles"]


def test_a_running_worker_takes_up_what_is_promoted(stack: Stack, samples: Path) -> None:
    """The same process, without a restart: the next job's rows are the new ensemble's."""
    shipped = read_models(SHIPPED)
    jobs = [succeed("submit", str(samples / "zidane.jpg"), "--wait", **stack.environment).stdout.strip()]
    database = connect(stack.database_url)
    with writing(database) as session:
        store.add_ensemble(
            session, Settings().models_dir, "swapped", replace(shipped, members=shipped.members[:1], shares=(1.0,))
        )
    database.dispose()
    for name in ("swapped", "shipped"):
        succeed("models", "promote", name, **stack.environment)
        jobs.append(succeed("submit", str(samples / "zidane.jpg"), "--wait", **stack.environment).stdout.strip())
    made_by, workers, sums = [], set(), []
    for job in jobs:
        status = json.loads(succeed("status", job, "--json", **stack.environment).stdout)
        made_by.append([(row["ensemble"], row["share"]) for row in status["models"] if row["role"] == "classifier"])
        workers |= set(query(stack.database_url, "SELECT worker FROM shards WHERE job_id = :job", job=job))
        statement = "SELECT sum(happy) FROM faces JOIN media ON media.id = media_id WHERE job_id = :job"
        sums.append(query(stack.database_url, statement, job=job)[0][0])
    name = store.shipped_name(shipped)
    whole = [(name, share) for share in sorted(shipped.shares, reverse=True)]
    assert made_by == [whole, [("swapped", 1.0)], whole]
    assert len(workers) == 1, "host and process"
    assert sums[0] == sums[2] != sums[1]
    shown = succeed("status", jobs[1], **stack.environment).stdout
    assert "swapped" in shown


def test_a_promoted_file_that_is_gone_fails_the_shard_by_name(stack: Stack, samples: Path) -> None:
    shipped = read_models(SHIPPED)
    database, models_dir = connect(stack.database_url), Settings().models_dir
    save_weights(random_classifier(9), models_dir / "lost.partial.safetensors")
    lost = store.keep(models_dir, models_dir / "lost.partial.safetensors")
    from fer_model.networks.manifest import WeightsFile
    from results import catalogue

    with writing(database) as session:
        catalogue.add_model(session, name="lost", kind="classifier", sha256=lost, architecture="a", source="given")
        file = WeightsFile("lost", store.stored(models_dir, lost), lost)
        store.add_ensemble(session, Settings().models_dir, "lost", replace(shipped, members=(file,), shares=(1.0,)))
    database.dispose()
    succeed("models", "promote", "lost", **stack.environment)
    store.stored(models_dir, lost).unlink()
    try:
        run = fer_batch("submit", str(samples / "zidane.jpg"), "--wait", **stack.environment)
        assert run.returncode == 1 and f"{store.stored(models_dir, lost)}: the weights cannot be read" in run.stderr
        assert fer_batch("doctor", **stack.environment).returncode == 1
    finally:
        succeed("models", "promote", "shipped", **stack.environment)
    succeed("submit", str(samples / "zidane.jpg"), "--wait", **stack.environment)
    assert f"{store.shipped_name(shipped)} is in use" in succeed("doctor", **stack.environment).stdout
