"""A running worker whose host loses the files, and gets them back."""

import json
from pathlib import Path

import cv2
import pytest
from sqlalchemy import Engine as Database

from results.database import reading
from results.presence import absent_workers
from results.read.status import job_status
from tests.support.clips import noise_picture
from tests.support.cluster import wait_for
from tests.support.commands import fer_batch
from tests.support.stack import running_worker
from workers.batch import planning
from workers.batch.planning import BatchOptions
from workers.batch.submitting import submit
from workers.queue.app import make_app
from workers.settings import Settings


@pytest.mark.usefixtures("prepared")
def test_a_worker_without_the_share_takes_itself_out_and_comes_back(
    database: Database, broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "PICTURES_PER_SHARD", 1)
    share = tmp_path / "share"
    share.mkdir()
    for number in range(8):
        cv2.imwrite(str(share / f"{number}.png"), noise_picture()[:48, :48])
    url = database.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, broker_url=broker, queues="absence", lease_seconds=4, device="cpu")
    job = submit(make_app(settings), database, [str(share)], BatchOptions()).job
    away = share.rename(tmp_path / "away")
    share.mkdir()
    log = tmp_path / "worker.log"

    def absent() -> list[str]:
        with reading(database) as session:
            return [each.worker for each in absent_workers(session)]

    with running_worker(settings.as_environment(), log):
        wait_for(absent, "the worker takes itself out")
        doctor = fer_batch("doctor", "--json", **settings.as_environment())
        (check,) = [check for check in json.loads(doctor.stdout)["checks"] if check["name"] == "workers"]
        assert not check["ok"] and str(share) in check["found"] and "mount" in check["mend"]
        wait_for(lambda: "Canceling queue absence" in log.read_text(), "it receives nothing more")
        share.rmdir()
        away.rename(share)

        def is_over() -> bool:
            with reading(database) as session:
                return job_status(session, job).state not in ("queued", "running")

        wait_for(is_over, "the job")
    print(log.read_text())
    with reading(database) as session:
        status = job_status(session, job)
    assert (status.state, status.failed, status.frames, absent()) == ("done", 0, 8, [])
    assert "takes itself out" in log.read_text() and "is back" in log.read_text()
