"""Flower behind its password, with names instead of numbers: the real one, with a real Redis server and worker."""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from cli import flower
from tests.support.commands import ROOT, fer_batch, succeed
from tests.support.databases import query
from tests.support.live_servers import free_port
from tests.support.stack import Stack
from tests.support.watching import fetch, until
from workers.diagnosis.checks import settings_table
from workers.queue.app import make_app
from workers.settings import Settings

PAGES = ("", "workers", "tasks", "broker", "api/tasks", "api/workers", "api/queues/length", "task/1", "worker/1")
TABLE = "tasks/datatable?" + urlencode(
    {"draw": 1, "start": 0, "length": 50, "order[0][column]": 0, "columns[0][data]": "name", "order[0][dir]": "asc"}
)


@dataclass(frozen=True)
class Garden:
    """A Flower that runs, and its log."""

    stack: Stack
    port: int
    log: str
    login: str

    def page(self, path: str, login: str | None = None) -> tuple[int, str]:
        """Status and text of a page."""
        return fetch(f"http://127.0.0.1:{self.port}/{path}", login)

    def tasks(self) -> dict[str, list[tuple[str, str]]]:
        """Name and state of what Flower has seen of each task, as its table shows them: by task."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for row in json.loads(self.page(TABLE, self.login)[1])["data"]:
            rows.setdefault(row["name"], []).append((row["args"], row["state"]))
        return rows


@pytest.fixture(scope="module")
def garden(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Garden]:
    """Flower beside the stack, without a password of ours."""
    port, log = free_port(), tmp_path_factory.mktemp("flower") / "flower.log"
    words = [sys.executable, "-P", "-m", "cli", "flower", "--port", str(port)]
    connection = ["--db", stack.database_url, "--broker", stack.broker_url]
    with log.open("wb") as output:
        process = subprocess.Popen([*words, *connection], cwd=ROOT, stdout=output, stderr=output)
    try:
        until(lambda: fetch(f"http://127.0.0.1:{port}/healthcheck")[0] == 200)
        text = log.read_text()
        (password,) = re.findall(r"user fer, password (\S+) ", text)
        found = Garden(stack, port, text, f"fer:{password}")
        # It has heard of the worker, so it hears of tasks too.
        until(lambda: json.loads(found.page("api/workers?status=1", found.login)[1]))
        yield found
    finally:
        process.terminate()
        process.wait(20)


def test_nothing_is_shown_without_the_password(garden: Garden) -> None:
    assert f"Flower: http://127.0.0.1:{garden.port}, user fer, password " in garden.log
    for page in (*PAGES, TABLE):
        for login in (None, "fer:wrong", "fer:", ":", garden.login + "x"):
            assert garden.page(page, login)[0] == 401, page
        assert garden.page(page, garden.login)[0] in (200, 404), page


def test_it_listens_on_this_machine_alone(garden: Garden) -> None:
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    addresses = re.findall(rf"^\s*\d+: (\w+):{garden.port:04X} \w+:0000 0A", listening, flags=re.MULTILINE)
    assert addresses == ["0100007F"]


def test_tasks_are_shown_in_words(garden: Garden, samples: Path) -> None:
    words = ("submit", str(samples), "--name", "interviews <b>", "--every", "10", "--shard-seconds", "4", "--wait")
    job_id = succeed(*words, **garden.stack.environment).stdout.strip()
    until(lambda: ("interviews <b>", "SUCCESS") in garden.tasks().get("finish_job", []))
    ((segments,),) = query(
        garden.stack.database_url, "SELECT count(*) FROM shards WHERE job_id = :id AND media_id IS NOT NULL", id=job_id
    )
    shown = [
        description
        for description, state in garden.tasks()["process_shard"]
        if description.startswith("interviews <b> · ")
    ]
    assert "interviews <b> · clip.mp4 · 0:00 to 0:04" in shown
    assert "interviews <b> · bus.jpg to zidane.jpg" in shown
    assert segments > 1 and len(shown) == segments + 1
    rows = json.loads(garden.page(TABLE, garden.login)[1])["data"]
    task = next(row["uuid"] for row in rows if row["args"] == "interviews <b> · bus.jpg to zidane.jpg")
    assert "interviews &lt;b&gt; · bus.jpg to zidane.jpg" in garden.page(f"task/{task}", garden.login)[1]


def test_a_workers_page_and_celery_hide_the_settings(garden: Garden) -> None:
    """They hold the database's login."""
    inspect = make_app(Settings(broker_url=garden.stack.broker_url)).control.inspect(timeout=10)
    ((worker, found),) = inspect.conf().items()
    assert found["fer_secret_settings"] == "********" and garden.stack.database_url not in str(found)

    def configured() -> str:
        garden.page("api/workers?refresh=1", garden.login)
        page = garden.page(f"worker/{worker}", garden.login)[1]
        return page if "fer_secret_settings" in page else ""

    page = html.unescape(until(configured))
    assert garden.stack.database_url not in page and "********" in page


def test_the_password_can_be_chosen(broker: str, tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli", "flower", "--port", str(port), "--broker", broker],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Flower's own variable must not open it.
        env={**os.environ, "FER_FLOWER_AUTH": "anna:let=me:in", "FLOWER_BASIC_AUTH": "eve:x"},
    )
    try:
        until(lambda: fetch(f"http://127.0.0.1:{port}/healthcheck")[0] == 200)
        url = f"http://127.0.0.1:{port}/tasks"
        assert [fetch(url, login)[0] for login in (None, "eve:x", "anna:let=me:in")] == [401, 401, 200]
        assert "let=me" not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert "user anna, password as in FER_FLOWER_AUTH" in errors and "let=me" not in errors


@pytest.mark.parametrize("auth", ["anna", "anna:", ":secret", "anna:x,y"])
def test_a_login_that_is_none_is_refused(auth: str) -> None:
    run = fer_batch("flower", FER_FLOWER_AUTH=auth)
    assert run.returncode == 1 and run.stderr.startswith("Error: FER_FLOWER_AUTH must be USER:PASSWORD")


def test_doctor_hides_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_FLOWER_AUTH", "anna:secret")
    table = settings_table(Settings())
    assert table["FER_FLOWER_AUTH"][1] == "environment" and "secret" not in str(table)


def test_without_redis_it_says_so() -> None:
    run = fer_batch("flower", "--broker", "redis://127.0.0.1:1/0")
    assert run.returncode == 1 and "cannot be reached" in run.stderr


def test_where_the_database_is_away_the_number_stays() -> None:
    in_words = flower.in_words("postgresql://fer@127.0.0.1:1/fer")
    given = ("(12,)", "('20261124T034320917-fe51',)", "(12, 13)", None, "('x', ...)")
    for name in (*flower.NAMED, "another"):
        for arguments in given:
            assert in_words(SimpleNamespace(name=name, args=arguments)).args == arguments
