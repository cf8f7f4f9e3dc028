"""A running job survives an upgrade of its workers one by one, over two versions of the schema."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select, text

from results.database import head_revision, reading
from results.read.status import job_status
from results.tables import Frame, Shard
from tests.support.clips import noise_picture
from tests.support.cluster import WORKER, end, start, wait_for
from tests.support.commands import ROOT
from tests.support.launching import started
from workers.batch import planning
from workers.batch.planning import BatchOptions
from workers.batch.submitting import submit
from workers.queue.app import make_app
from workers.settings import Settings

PICTURES = 40
NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None


def upgrade() -> None:
    op.add_column("shards", sa.Column("of_the_future", sa.Text()))
    op.add_column("jobs", sa.Column("counted", sa.Integer(), nullable=False, server_default="0"))
    op.create_table("futures", sa.Column("id", sa.Integer(), primary_key=True))
"""


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """This program with one more migration."""
    folder = tmp_path / "next"
    for room in ("cli", "results", "workers", "migrations"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "fer_model").symlink_to(ROOT / "fer_model")
    (folder / "migrations" / "versions" / "9999_next.py").write_text(NEXT.format(head=head_revision()))
    return folder


@pytest.mark.usefixtures("prepared")
@pytest.mark.timeout(900)
def test_workers_are_replaced_one_by_one(
    database_url: str, broker: str, next_version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from results.database import connect, upgrade

    upgrade(database_url)
    database = connect(database_url)
    monkeypatch.setattr(planning, "PICTURES_PER_SHARD", 1)
    media = tmp_path / "media"
    media.mkdir()
    for number in range(PICTURES):
        cv2.imwrite(str(media / f"{number}.png"), noise_picture()[:48, :48])
    settings = Settings(database_url=database_url, broker_url=broker, queues="upgrade", lease_seconds=4, device="cpu")
    app = make_app(settings)
    job = submit(app, database, [str(media)], BatchOptions()).job
    environment = settings.as_environment()
    newer = environment | {"PYTHONPATH": str(next_version)}
    old = started(["worker", "--name", "old"], environment, tmp_path / "old.log")
    new: subprocess.Popen[bytes] | None = None
    try:
        wait_for(lambda: done(database, job) >= 3, "the old worker is at work")
        refused = command("worker", **newer)
        assert refused.returncode == 1 and "run `fer-batch db upgrade" in refused.stderr
        refused = command("submit", str(media), **newer)
        assert refused.returncode == 1 and "run `fer-batch db upgrade" in refused.stderr
        assert revision(database) == head_revision(), "nothing was migrated"
        upgraded = command("db", "upgrade", **newer)
        assert upgraded.returncode == 0, upgraded.stderr
        assert revision(database) == "9999"
        before = done(database, job)
        wait_for(lambda: done(database, job) >= min(before + 3, PICTURES - 3), "the old worker goes on")
        new = start([*WORKER, "new"], tmp_path / "new.log", newer)
        wait_for(lambda: "ready" in (tmp_path / "new.log").read_text(), "the new worker")
        old.terminate()
        wait_for(lambda: state(database, job) != "running", "the job")
    finally:
        for process in (old, new):
            if process is not None:
                end(process)
        print(
            *((tmp_path / f"{name}.log").read_text() for name in ("old", "new") if (tmp_path / f"{name}.log").exists())
        )
    with reading(database) as session:
        status = job_status(session, job)
        frames = session.scalar(select(func.count()).select_from(Frame))
        attempts = set(session.scalars(select(Shard.attempts)))
    database.dispose()
    app.close()
    assert (status.state, status.failed, status.frames, frames, attempts) == ("done", 0, PICTURES, PICTURES, {1})


def command(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `fer_batch`, with the folder of the program in the environment."""
    given = {**os.environ, **environment}
    run = [sys.executable, "-P", "-m", "cli", *words]
    return subprocess.run(run, capture_output=True, text=True, timeout=280, env=given, cwd=ROOT.parent)


def done(database: Database, job: str) -> int:
    with reading(database) as session:
        return job_status(session, job).shards["done"]


def state(database: Database, job: str) -> str:
    with reading(database) as session:
        return job_status(session, job).state


def revision(database: Database) -> str | None:
    with reading(database) as session:
        return session.scalar(text("SELECT version_num FROM alembic_version"))
