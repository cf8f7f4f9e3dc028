"""Messages that are none, or name a shard of another kind of job: removed, and nothing stops."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from celery import Celery
from sqlalchemy import Engine as Database

from results import leases
from results.database import reading, writing
from results.jobs import shard_of
from results.read.status import job_status
from results.tables import Shard
from results.training import TrainingPlan, add_training
from tests.support.clips import noise_picture
from tests.support.cluster import wait_for
from tests.support.idle import IdleEngine
from tests.support.stack import running_worker
from workers.batch.planning import BatchOptions
from workers.batch.processing import process_shard
from workers.batch.submitting import submit
from workers.queue.app import make_app
from workers.queue.dispatching import sweep
from workers.settings import Settings

QUEUE = "hostile"


def message(body: str, headers: Any, kind: str = "application/json", **properties: Any) -> bytes:
    info = {"exchange": "", "routing_key": QUEUE}
    named = {"delivery_tag": repr(headers), "delivery_info": info, "body_encoding": "base64"}
    content = {"content-type": kind, "content-encoding": "utf-8"}
    return json.dumps({"body": body, "headers": headers, "properties": named | properties, **content}).encode()


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


TASK = {"task": "process_shard", "id": "1", "argsrepr": "", "kwargsrepr": ""}
NONE_OF_OURS = [
    b"not json",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b"17",
    json.dumps({"properties": {}}).encode(),
    json.dumps({"headers": {"task": "process_shard"}}).encode(),
    message("!!", TASK),
    message(encoded([]), None),
    message(encoded([]), {"task": ["process_shard"]}),
    message(encoded([]), {"task": "process_shard"}),
    message(encoded({}), {"task": "no_such_task", "id": "2"}),
    message("gAR9lC4=", TASK, "application/x-python-serialize"),
    message(encoded([[], {}, {}]), TASK),
    message(encoded([["x"], {}, {}]), TASK | {"shard": "x"}),
    message(encoded([[2**70], {}, {}]), TASK | {"shard": 2**70}),
]


def put(app: Celery, *messages: bytes) -> None:
    with app.connection_for_write() as connection:
        for each in messages:
            connection.default_channel.client.lpush(QUEUE, each)


def waiting(app: Celery) -> int:
    with app.connection_for_read() as connection:
        client = connection.default_channel.client
        return int(client.llen(QUEUE)) + int(client.hlen("unacked"))


def picture(folder: Path) -> str:
    cv2.imwrite(str(folder / "a.png"), noise_picture()[:48, :48])
    return str(folder / "a.png")


@pytest.mark.usefixtures("prepared")
def test_a_worker_removes_them_and_works_on(database: Database, broker: str, tmp_path: Path) -> None:
    url = database.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, broker_url=broker, queues=QUEUE, lease_seconds=4, device="cpu")
    app, log = make_app(settings), tmp_path / "worker.log"
    put(app, *NONE_OF_OURS)
    with running_worker(settings.as_environment(), log) as worker:
        job = submit(app, database, [picture(tmp_path)], BatchOptions()).job

        def is_over() -> bool:
            with reading(database) as session:
                return job_status(session, job).state == "done"

        wait_for(is_over, "the job")
        # While it works, too.
        put(app, *NONE_OF_OURS)
        wait_for(lambda: waiting(app) == 0, "all are removed")
        assert worker.poll() is None
    print(log.read_text())
    assert log.read_text().count("was removed") >= 16
    app.close()


def test_the_sweep_removes_what_is_no_message(database: Database, broker: str, tmp_path: Path) -> None:
    settings = Settings(broker_url=broker, queues=QUEUE)
    app = make_app(settings)
    submit(app, database, [picture(tmp_path)], BatchOptions())
    put(app, *NONE_OF_OURS[:7], NONE_OF_OURS[14])
    before = waiting(app)
    sweep(app, database, [QUEUE])
    assert waiting(app) == before - 7, "the one with Celery's headers is left to a worker"
    app.close()


def test_a_shard_of_another_kind_of_job_is_not_claimed(database: Database) -> None:
    with writing(database) as session:
        run = add_training(session, TrainingPlan("classifier", "/data.csv", 3, {}))
        shard_id = shard_of(session, run)
    process_shard(database, Settings(), shard_id, "w", lambda models: IdleEngine())
    with reading(database) as session:
        row = session.get_one(Shard, shard_id)
    assert (row.state, row.attempts, row.worker) == ("pending", 0, None)
    with writing(database) as session:
        assert leases.claim(session, shard_id, "w", kind="train") is not None
