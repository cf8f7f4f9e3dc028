"""The time limits in messages: decoding from the beginning of a long video takes time of its own."""

import json
from uuid import uuid4

import pytest
import redis
from sqlalchemy import Engine as Database

from results.database import writing
from results.jobs import create_job
from results.plans import MediaPlan, ShardPlan, add_plan
from workers.queue.app import make_app
from workers.queue.dispatching import advance
from workers.settings import Settings

HOUR_MS = 3_600_000


def limits(broker: str, queue: str) -> dict[int, list[float | None]]:
    """Of each shard in a queue the hard and the soft limit of its message, in seconds."""
    with redis.Redis(unix_socket_path=broker.removeprefix("redis+socket://")) as server:
        messages = [message for key in server.scan_iter(f"{queue}*") for message in server.lrange(key, 0, -1)]
    headers = [json.loads(message)["headers"] for message in messages]
    return {each["shard"]: each["timelimit"] for each in sorted(headers, key=lambda each: each["shard"])}


@pytest.mark.parametrize(("ordered", "expected"), [(False, [8580, 7800]), (True, [None, None]), (None, [None, None])])
def test_a_piece_behind_hours_that_must_be_decoded_gets_their_time_too(
    ordered: bool | None, expected: list[float | None], database: Database, broker: str
) -> None:
    queue = uuid4().hex
    app = make_app(Settings(broker_url=broker, shard_timeout_seconds=600))
    shards = [ShardPlan(0, 0, 1, video=True, start_ms=start) for start in (0, 2 * HOUR_MS)]
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={}, queue=queue)
        add_plan(session, job.id, [MediaPlan("/a.ts", "video", ordered=ordered)], shards)
    assert advance(app, database, job.id) == 2
    assert list(limits(broker, queue).values()) == [[None, None], expected]
