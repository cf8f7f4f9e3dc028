"""Settings: from the environment and from the caller, for this process and for those it starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from workers.diagnosis.checks import settings_table
from workers.errors import WorkersError
from workers.settings import Settings, cache_if_writable, mask, writable_cache


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FER_{name.upper()}", raising=False)


def test_a_caller_takes_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_QUEUES", "one,two")
    monkeypatch.setenv("FER_DEVICE", "")
    assert (Settings().served_queues, Settings().submit_queue, Settings().device) == (["one", "two"], "one", "auto")
    assert Settings(queues="three").served_queues == ["three"]


def test_jobs_never_go_to_the_queue_of_streams() -> None:
    assert Settings(queues="stream, other").submit_queue == "other"
    assert Settings(queues="stream").submit_queue == "batch"


def test_settings_cannot_change_after_they_were_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().device = "cpu"  # type: ignore[misc]


def test_a_child_process_reads_the_same_settings_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Settings(
        database_url="postgresql://fer:word@db/fer",
        flower_auth="anna:word",
        media_roots="/srv, s3://bucket/",
        models_dir=Path("/models"),
        lease_seconds=2.5,
    )
    # What this process has set must not shine through.
    monkeypatch.setenv("FER_RETENTION_DAYS", "7")
    for name, value in made.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == made
    assert made.retention_days is None and made.permitted_roots == ("/srv", "s3://bucket/")


def test_the_table_says_where_each_value_came_from_and_hides_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BROKER_URL", "redis://:word@host:6379/0")
    table = settings_table(Settings(device="cpu", flower_auth="anna:word"), options=["device"])
    assert table["FER_DEVICE"] == ("cpu", "option")
    assert table["FER_BROKER_URL"] == ("redis://:***@host:6379/0", "environment")
    assert table["FER_QUEUES"] == ("batch", "default")
    assert "word" not in str(table)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    assert writable_cache(tmp_path / "new") == tmp_path / "new"
    with pytest.raises(WorkersError, match=r"/proc/none .*set FER_CACHE_DIR to another"):
        writable_cache(Path("/proc/none"))
    assert cache_if_writable(Path("/proc/none")) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:word@host/0", "redis://:***@host/0"),
        ("postgresql://user:wo@rd@host/name", "postgresql://user:***@host/name"),
        ("postgresql://user@host/name", "postgresql://user@host/name"),
        ("sqlite:///file.db", "sqlite:///file.db"),
        ("redis://user:wo@rd@host/0", "redis://user:***@host/0"),
        ("postgresql://host/name?password=word&sslmode=on", "postgresql://host/name?password=***&sslmode=on"),
        ("rediss://host/0?ssl_password=word", "rediss://host/0?ssl_password=***"),
    ],
)
def test_passwords_in_urls_are_hidden(url: str, shown: str) -> None:
    assert mask(url) == shown


def test_settings_are_shown_without_passwords() -> None:
    settings = Settings(database_url="postgresql://user:wo@rd@host/name", broker_url="redis://:wo@rd@host/0")
    assert "rd@" not in f"{settings!r} {settings}" and "postgresql://user:***@host/name" in repr(settings)
