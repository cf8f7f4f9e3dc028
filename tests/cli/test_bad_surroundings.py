"""Missing or unusable services and files: one sentence on stderr, exit code 1, nothing lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from results.database import connect, upgrade
from tests.support.commands import fer_batch, only_sentence

NO_BROKER = "redis://:secret@127.0.0.1:1/0"


def test_an_unreachable_broker(samples: Path, tmp_path: Path) -> None:
    database = tmp_path / "results.db"
    words = ("submit", str(samples), "--broker", NO_BROKER, "--db", f"sqlite:///{database}")
    run = fer_batch(*words)
    sentence = only_sentence(run.stderr)
    assert run.returncode == 1
    assert "broker at redis://:***@127.0.0.1:1/0 cannot be reached" in sentence and "--broker" in sentence
    assert not database.exists(), "a job that cannot be queued must not be created"
    assert only_sentence(fer_batch("worker", *words[2:]).stderr) == sentence


def test_a_read_only_database(samples: Path, broker: str, tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    upgrade(f"sqlite:///{path}")
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    run = fer_batch("submit", str(samples), "--db", url, "--broker", broker)
    assert run.returncode == 1 and "can be read but not written" in only_sentence(run.stderr)
    assert fer_batch("jobs", "--db", url).returncode == 0, "reading must still work"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("timeline", "--last", "99999999d"), "is too long; write at most 36500d."),
        (("timeline", "--bucket", "9" * 400 + "d"), "is too long"),
        (("db", "purge", "--older-than", "9" * 30 + "d", "--dry-run"), "is too long"),
        (("timeline", "--until", "0001-01-01T00:00", "--last", "2d"), "beyond the years 1 to 9999"),
        (("timeline", "--timezone", "posixrules"), "is not a known time zone"),
        (("timeline", "--bucket", "8d"), "is too long; write at most 7d."),
        (("export", "--format", "csv", "-o", ""), "the path is empty"),
        (("annotate", "-o", ""), "the path is empty"),
        (("jobs", "--limit", "99999999999999999999"), "is too large"),
    ],
)
def test_what_no_calendar_and_no_column_holds_is_refused(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    upgrade(url := f"sqlite:///{tmp_path / 'results.db'}")
    run = fer_batch(*words, "--db", url)
    assert run.returncode == 2 and sentence in " ".join(run.stderr.split()) and "Traceback" not in run.stderr


def test_a_database_newer_than_the_program(samples: Path, broker: str, database_url: str) -> None:
    upgrade(database_url)
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    for words in (["submit", str(samples), "--broker", broker], ["status"], ["run", str(samples)]):
        run = fer_batch(*words, FER_DATABASE_URL=database_url)
        assert run.returncode == 1 and "newer fer-batch" in only_sentence(run.stderr), words


def test_an_unreachable_database(samples: Path, broker: str) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:1/nothing"
    run = fer_batch("submit", str(samples), "--db", url, "--broker", broker)
    sentence = only_sentence(run.stderr)
    assert run.returncode == 1 and "127.0.0.1" in sentence and "secret" not in sentence


def test_a_database_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    path = tmp_path / "nothing.db"
    run = fer_batch("status", "--db", f"sqlite:///{path}")
    assert run.returncode == 1 and "There is no database" in only_sentence(run.stderr)
    assert not path.exists()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("shopping list " * 100)
    run = fer_batch("status", "--db", f"sqlite:///{path}")
    assert run.returncode == 1 and str(path) in only_sentence(run.stderr)
    assert path.read_text().startswith("shopping list")


@pytest.mark.parametrize("command", ["submit", "run"])
def test_a_path_that_does_not_exist(command: str, broker: str, tmp_path: Path) -> None:
    words = [command, str(tmp_path / "nowhere"), "--db", f"sqlite:///{tmp_path / 'results.db'}"]
    run = fer_batch(*words, FER_BROKER_URL=broker)
    assert run.returncode == 1 and only_sentence(run.stderr) == f"{tmp_path / 'nowhere'}: does not exist"


def test_a_folder_with_nothing_in_it(broker: str, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    run = fer_batch("submit", str(folder), "--broker", broker, "--db", f"sqlite:///{tmp_path / 'results.db'}")
    assert run.returncode == 1 and only_sentence(run.stderr) == f"{folder}: contains no picture or video"
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


@pytest.mark.parametrize("url", ["memory://", "bogus://x", "redis://host:port"])
def test_what_is_no_redis_is_refused(url: str, samples: Path) -> None:
    run = fer_batch("submit", str(samples), "--broker", url)
    assert run.returncode == 1 and "redis://HOST:PORT" in only_sentence(run.stderr)
