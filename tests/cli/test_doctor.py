"""`doctor` where everything is in order, and where it is not."""

import json
from pathlib import Path

from results.database import connect, upgrade, writing
from results.presence import leave
from tests.support.commands import fer_batch
from tests.support.stack import Stack
from workers.diagnosis.checks import CHECKS

NO_BROKER = "redis://:secret@127.0.0.1:1/0"


def test_doctor_finds_everything_in_order(stack: Stack) -> None:
    run = fer_batch("doctor", "--json", **stack.environment)
    report = json.loads(run.stdout)
    assert run.returncode == 0 and report["ok"]
    assert [check["name"] for check in report["checks"]] == list(CHECKS)
    assert report["settings"]["FER_BROKER_URL"][1] == "environment"
    assert report["settings"]["FER_DEVICE"] == ["auto", "default"]


def test_doctor_says_how_to_mend_what_fails(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    environment = {
        "FER_BROKER_URL": NO_BROKER,
        "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'none' / 'results.db'}",
        "FER_MODELS_DIR": str(tmp_path),
    }
    run = fer_batch("doctor", "--json", **environment)
    failed = {check["name"]: check for check in json.loads(run.stdout)["checks"] if check["ok"] is False}
    assert [check["name"] for check in json.loads(run.stdout)["checks"] if check["ok"] is None] == [
        "limits",
        "clock",
        "workers",
    ]
    assert run.returncode == 1
    assert set(failed) == {"broker", "database", "weights"}
    assert all(check["mend"] for check in failed.values())
    text = fer_batch("doctor", **environment)
    assert text.returncode == 1 and "fer-batch db upgrade" in text.stdout and "secret" not in text.stdout


def test_an_address_that_is_none_is_a_failed_check() -> None:
    run = fer_batch("doctor", "--json", "--db", "nonsense", "--broker", NO_BROKER)
    checks = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    assert run.returncode == 1 and list(checks) == list(CHECKS)
    assert checks["database"]["ok"] is False and "sqlite:///FILE" in checks["database"]["mend"]
    assert checks["weights"]["ok"] and checks["disk"]["ok"]


def test_names_in_what_it_found_obey_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    upgrade(url)
    database = connect(url)
    with writing(database) as session:
        leave(session, "worker@host", ["/srv/a\x1b[2J\nfake: ok.jpg"])
    database.dispose()
    text = fer_batch("doctor", "--db", url, "--broker", NO_BROKER).stdout
    assert "\x1b[2J" not in text and "\nfake" not in text and "took themselves out" in " ".join(text.split())
