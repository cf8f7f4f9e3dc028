"""`ensemble fit` on small data, with either database."""

import json
from pathlib import Path

import pytest

from fer_model.networks.manifest import read_models
from tests.support.commands import fer_batch_here, succeed_here
from tests.support.databases import query


def test_a_fitted_ensemble_is_kept_and_can_be_evaluated(
    table: Path, given: Path, nowhere: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    settings = {**nowhere, "FER_DATABASE_URL": database_url}
    names = [file.name for file in read_models().members]
    fit = ("ensemble", "fit", "--data", str(table), "--json", "--models", names[0], names[1], str(given))
    first = json.loads(succeed_here(*fit, "--name", "three", **settings).stdout)
    assert first["ensemble"] == "three"
    assert [member["name"] for member in first["members"]] == [*names, "mine"]
    assert sum(member["share"] for member in first["members"]) == pytest.approx(1)
    assert first["n"] == 28 and first["temperature"] > 0 and first["ece"] >= 0

    found = query(database_url, "SELECT name, temperature, fitted_on, promoted_at FROM ensembles WHERE name = 'three'")
    assert found == [("three", first["temperature"], "PublicTest of fer2013.csv", None)]
    shares = query(database_url, "SELECT share FROM ensemble_members JOIN ensembles ON ensembles.id = ensemble_id "
                   "WHERE name = 'three' ORDER BY position")  # fmt: skip
    assert [share for (share,) in shares] == [member["share"] for member in first["members"]]
    assert [path.read_bytes() for path in (tmp_path / "store").iterdir()] == [given.read_bytes()]

    words = ("evaluate", "--data", str(table), "--split", "PublicTest", "--json", "--ensemble", "three")
    report = json.loads(succeed_here(*words, **settings).stdout)
    assert report["accuracy"] == pytest.approx(first["accuracy"])
    assert report["ece"] == pytest.approx(first["ece"])
    assert report["gmacs"] == pytest.approx(0.044726176 + 0.023210688)

    again = fer_batch_here(*fit, "--name", "three", **settings)
    assert again.returncode == 1 and "There is an ensemble 'three' already" in again.stderr


def test_both_ways_of_naming_models_and_a_name_for_each_choice(
    table: Path, given: Path, nowhere: dict[str, str], tmp_path: Path
) -> None:
    name = read_models().members[0].name
    words = ("ensemble", "fit", "--data", str(table), "--json")
    one_option = json.loads(succeed_here(*words, "--models", name, str(given), **nowhere).stdout)
    two_options = json.loads(succeed_here(*words, "--models", name, "--models", str(given), **nowhere).stdout)
    assert one_option == two_options and one_option["ensemble"].startswith("fitted-")
    kept = query(nowhere["FER_DATABASE_URL"], "SELECT count(*) FROM ensembles WHERE name LIKE 'fitted-%'")
    assert kept == [(1,)], "the same fit again is the same ensemble"


def test_people_are_told_how_to_use_what_was_fitted(table: Path, nowhere: dict[str, str]) -> None:
    names = [file.name for file in read_models().members]
    run = succeed_here("ensemble", "fit", "--models", *names, "--data", str(table), **nowhere)
    assert all(name in run.stdout for name in names) and "Temperature" in run.stdout
    assert "fer-batch models promote fitted-" in run.stdout


def test_what_cannot_be_fitted_is_one_sentence(table: Path, nowhere: dict[str, str]) -> None:
    models = read_models()
    cases = {
        ("--models", "nonsense"): "no model 'nonsense'",
        ("--models", models.members[0].name, str(models.members[0].path)): "are the same model",
        ("--models", models.detector.name): "is a detector, not a classifier",
        ("--models", models.members[0].name, "--detector", models.members[0].name): "is a classifier, not a detector",
        ("--models", models.members[0].name, "--split", "Holiday"): "'Holiday'",
    }
    for words, complaint in cases.items():
        run = fer_batch_here("ensemble", "fit", "--data", str(table), *words, **nowhere)
        (line,) = run.stderr.strip().splitlines()
        assert run.returncode == 1 and complaint in line, (words, run.stderr)
