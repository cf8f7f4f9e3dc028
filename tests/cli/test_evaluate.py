"""`evaluate` on small data: with no broker, with no database, and with either database."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli.main import main
from fer_model.analysis.ensemble import combine
from fer_model.networks.manifest import read_models
from fer_model.training.datasets.data import read_faces
from fer_model.training.measurement.reports import load_members, member_outputs
from results.database import upgrade
from tests.support.commands import fer_batch_here, succeed, succeed_here
from tests.support.databases import query, sqlite_database
from tests.support.training_data import write_folders, write_table

KEYS = {"accuracy", "ci95", "macro_f1", "ece", "gmacs", "efficiency", "per_class", "confusion", "n"}


def test_the_figures_are_those_of_a_direct_computation(table: Path, nowhere: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    words = ("evaluate", "--data", str(table), "--split", "PrivateTest", "--json", "-o", str(folder))
    run = succeed(*words, **nowhere)
    report = json.loads(run.stdout)
    models, faces = read_models(), read_faces(table, "PrivateTest")
    answers = combine(member_outputs(load_members(models.members), faces.images), models.shares, models.temperature)
    right = answers.argmax(axis=1) == faces.labels
    assert set(report) == KEYS
    assert report["n"] == 35
    assert report["accuracy"] == pytest.approx(100 * right.mean())
    assert report["ci95"][0] <= report["accuracy"] <= report["ci95"][1] <= 100
    assert report["gmacs"] == 0.044726176
    assert report["efficiency"] == pytest.approx(report["accuracy"] / 4.4726176)
    assert np.array(report["confusion"]).sum() == 35 and np.trace(report["confusion"]) == right.sum()
    assert set(report["per_class"]["angry"]) == {"precision", "recall", "f1", "n"}
    assert 0 <= report["ece"] <= 1 and 0 <= report["macro_f1"] <= 1
    assert run.stderr == ""
    assert not (tmp_path / "none.db").exists(), "looking must not make a database"

    assert {path.name for path in folder.iterdir()} == {"confusion.png", "reliability.png", "report.json"}
    written = json.loads((folder / "report.json").read_text())
    assert written.items() >= {**report, "split": "PrivateTest", "data": "fer2013.csv"}.items()
    assert [member["name"] for member in written["members"]] == [file.name for file in models.members]
    with Image.open(folder / "confusion.png") as picture:
        assert picture.format == "PNG"


def test_people_get_a_table_and_what_efficiency_is(table: Path, nowhere: dict[str, str]) -> None:
    run = succeed("evaluate", "--data", str(table), "--split", "PrivateTest", "--tta", **nowhere)
    assert "efficiency = accuracy in per cent / (100 x multiply-adds in 10^9 for one face)" in run.stdout
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines if "0.044726" in line or "0.089452" in line] == ["as", "+"]
    assert max(map(len, lines[3:-2])) <= 80 and "…" not in run.stdout
    assert sum(line.startswith(("angry", "neutral")) for line in lines) == 2


def test_the_mirror_is_reported_apart_at_twice_the_cost(table: Path, nowhere: dict[str, str]) -> None:
    words = ("evaluate", "--data", str(table), "--split", "PublicTest", "--json", "--tta")
    report = json.loads(succeed_here(*words, **nowhere).stdout)
    assert set(report) == KEYS | {"tta"} and set(report["tta"]) == KEYS
    assert (report["gmacs"], report["tta"]["gmacs"]) == (0.044726176, 0.089452352)


def test_one_model_by_name_and_by_path(table: Path, nowhere: dict[str, str]) -> None:
    member = read_models().members[0]
    words = ("evaluate", "--data", str(table), "--split", "PublicTest", "--json", "--model")
    by_name, by_path = (
        json.loads(succeed_here(*words, each, **nowhere).stdout) for each in (member.name, str(member.path))
    )
    assert by_name == by_path and by_name["gmacs"] == 0.021515488


def test_pictures_in_folders_can_be_evaluated_on(nowhere: dict[str, str], tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "pictures", {"test/angry": 2, "test/happy": 3, "val/happy": 1})
    report = json.loads(succeed_here("evaluate", "--data", str(folder), "--split", "test", "--json", **nowhere).stdout)
    assert report["n"] == 5 and report["per_class"]["happy"]["n"] == 3


def test_faces_are_decoded_once_where_they_can_be_kept(table: Path, nowhere: dict[str, str], tmp_path: Path) -> None:
    words = ("--data", str(table), "--split", "PublicTest", "--json")
    unwritable = tmp_path / "file"
    unwritable.touch()
    commands = {"evaluate": ("evaluate",), "fit": ("ensemble", "fit", "--models", read_models().members[0].name)}
    for folder, command in commands.items():
        succeed_here(*command, *words, **nowhere, FER_CACHE_DIR=str(tmp_path / folder))
        assert len(list((tmp_path / folder / "training-data").iterdir())) == 1
    succeed_here("evaluate", *words, **nowhere, FER_CACHE_DIR=str(unwritable))


def test_what_is_wrong_is_one_sentence(table: Path, nowhere: dict[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text("emotion,pixels,Usage\n9,1 2 3,PrivateTest\n")
    training = write_table(tmp_path / "training.csv", [(0, "Training")])
    detector = read_models().detector
    on_table = ("--data", str(table), "--split", "PrivateTest")
    cases = {
        ("--data", str(training), "--split", "PrivateTest"): "'PrivateTest'",
        ("--data", str(broken), "--split", "PrivateTest"): f"{broken}: row 2",
        ("--data", str(tmp_path / "no.csv"), "--split", "PrivateTest"): "no.csv",
        (*on_table, "--model", "nonsense"): "no model 'nonsense'",
        (*on_table, "--ensemble", "nonsense"): "no ensemble 'nonsense'",
        (*on_table, "--model", "no.safetensors"): "no.safetensors: the weights cannot be read",
        (*on_table, "--model", str(detector.path)): "made for another architecture",
        (*on_table, "--device", "cuda:99"): "cuda:99 is not available: this machine has",
        (*on_table, "-o", "/proc/none"): "/proc/none",
    }
    for words, complaint in cases.items():
        run = fer_batch_here("evaluate", *words, **nowhere)
        (line,) = run.stderr.strip().splitlines()
        assert run.returncode == 1 and line.startswith("Error: ") and complaint in line, (words, run.stderr)
        assert run.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate"],
        ["evaluate", "--data", "x.csv"],
        ["evaluate", "--data", "x.csv", "--split", "PublicTest", "--model", "a", "--ensemble", "b"],
        ["ensemble", "fit", "--data", "x.csv"],
    ],
)
def test_wrong_use_exits_with_2(words: list[str]) -> None:
    assert CliRunner().invoke(main, words).exit_code == 2


def test_an_empty_or_outdated_database_is_passed_over_with_a_word(
    table: Path, nowhere: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty.db").touch()
    with closing(sqlite3.connect(sqlite_database(tmp_path / "old.db").removeprefix("sqlite:///"))) as old, old:
        old.execute("UPDATE alembic_version SET version_num = '0004'")
    for name, words in (("empty", "The database has no tables yet"), ("old", "The database is older")):
        there = nowhere | {"FER_DATABASE_URL": f"sqlite:///{tmp_path / name}.db"}
        run = succeed_here("evaluate", "--data", str(table), "--split", "PublicTest", "--json", **there)
        assert set(json.loads(run.stdout)) == KEYS
        assert run.stderr.startswith(f"Note: the database is not used: {words}")


def test_the_figures_are_given_though_the_database_cannot_be_written(
    table: Path, nowhere: dict[str, str], tmp_path: Path
) -> None:
    upgrade(f"sqlite:///{tmp_path / 'results.db'}")
    url = f"sqlite:///file:{tmp_path / 'results.db'}?mode=ro&uri=true"
    run = succeed_here("evaluate", "--data", str(table), "--split", "PublicTest", "--json", "--db", url, **nowhere)
    assert set(json.loads(run.stdout)) == KEYS
    assert run.stderr.startswith("Note: the evaluation is not kept: ") and "can be read but not written" in run.stderr


def test_an_evaluation_is_kept_where_there_is_a_database(
    table: Path, given: Path, nowhere: dict[str, str], database_url: str
) -> None:
    upgrade(database_url)
    settings = {**nowhere, "FER_DATABASE_URL": database_url}
    words = ("evaluate", "--data", str(table), "--split", "PublicTest", "--json")
    ensemble = json.loads(succeed_here(*words, **settings).stdout)
    succeed_here(*words, "--model", read_models().members[0].name, **settings)
    succeed_here(*words, "--model", str(given), **settings)
    rows = query(database_url, "SELECT split, n, accuracy, gmacs, ensemble_id IS NULL, model_id FROM evaluations")
    assert len(rows) == 2, "a file that the catalogue does not know has no row to belong to"
    assert rows[0] == ("PublicTest", 28, ensemble["accuracy"], 0.044726176, False, None)
    assert rows[1][3:] == (0.021515488, True, read_models().members[0].sha256[:12])
