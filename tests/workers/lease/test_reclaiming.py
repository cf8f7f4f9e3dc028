"""Reclaiming the shard of a worker that died, on both databases."""

from pathlib import Path

from sqlalchemy import Engine as Database

from results.database import reading, writing
from results.leases import claim
from results.tables import Shard
from tests.support.planning import planned
from workers.batch.planning import BatchOptions
from workers.lease.reclaiming import reclaim


def test_the_shard_of_a_dead_process_is_requeued_and_no_other(database: Database, samples: Path) -> None:
    job_id, (first, second, *_) = planned(database, [samples / "clip.mp4"], BatchOptions(every=10, shard_seconds=2))
    with writing(database) as session:
        claim(session, first, "host:1")
    assert reclaim(database, first, lambda worker: worker == "host:1", "killed") == job_id
    with reading(database) as session:
        shard = session.get_one(Shard, first)
    assert (shard.state, shard.attempts, shard.error) == ("pending", 1, "killed")
    assert reclaim(database, second, lambda worker: True, "killed") is None, "no worker holds it"
    assert reclaim(database, 10**6, lambda worker: True, "killed") is None
