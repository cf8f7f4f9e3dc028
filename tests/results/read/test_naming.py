"""What shards and jobs are called, and how long they have waited, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, update

from results.database import reading, writing
from results.jobs import cancel_job, create_job, utc_now
from results.plans import MediaPlan, ShardPlan, add_plan
from results.read.naming import name_of_job, name_of_shard
from results.tables import Shard, TrainingRun
from results.waiting import longest_waits
from tests.support.rows import take

MEDIA = [
    MediaPlan("/srv/a.jpg", "image"),
    MediaPlan("/srv/b.jpg", "image"),
    MediaPlan("/srv/talks/talk.mp4", "video"),
]


@pytest.mark.parametrize(
    ("shard", "name"),
    [
        (ShardPlan(2, 2, 1, video=True, start_ms=90_000, end_ms=120_033), "talk.mp4 · 1:30 to 2:00"),
        (ShardPlan(2, 2, 1, video=True, start_ms=3_600_000), "talk.mp4 · 1:00:00 to the end"),
        (ShardPlan(2, 2, 1, video=True), "talk.mp4"),
        (ShardPlan(0, 1, 2), "a.jpg to b.jpg"),
        (ShardPlan(1, 1, 1), "b.jpg"),
    ],
)
def test_a_shard_is_called_by_its_job_file_and_segment(database: Database, shard: ShardPlan, name: str) -> None:
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name="interviews", options={})
        add_plan(session, job.id, MEDIA, [shard])
        number = session.scalars(select(Shard.id)).one()
        assert name_of_shard(session, number) == f"interviews · {name}"
        assert name_of_shard(session, number + 1) is None


@pytest.mark.parametrize(("recipe", "name"), [("crp", "recipe crp"), (None, "detector")])
def test_a_training_is_called_by_its_recipe(database: Database, recipe: str | None, name: str) -> None:
    with writing(database) as session:
        job, _ = create_job(session, kind="train", name="third try", options={})
        add_plan(session, job.id, [], [ShardPlan(0, 0, 0)])
        kind = "classifier" if recipe else "detector"
        session.add(TrainingRun(job_id=job.id, kind=kind, recipe=recipe, data="x", definition={}, epochs=1))
        session.flush()
        assert name_of_shard(session, session.scalars(select(Shard.id)).one()) == f"third try · {name}"


def test_a_job_without_a_name_is_called_by_its_id(database: Database) -> None:
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={})
        assert name_of_job(session, job.id) == job.id
        assert name_of_job(session, "nobody") is None


def test_the_longest_wait_is_that_of_a_queued_shard_that_nobody_took(database: Database) -> None:
    with writing(database) as session:
        ids = []
        for queue in ("batch", "batch", "other"):
            job, _ = create_job(session, kind="batch", name=None, options={}, queue=queue)
            add_plan(session, job.id, MEDIA[:1], [ShardPlan(0, 0, 1)] * 3)
            ids.append(job.id)
        numbers = session.scalars(select(Shard.id).order_by(Shard.id)).all()
        for number, seconds in zip(numbers[:5], (900, 100, 50, 700, 800), strict=True):
            queued_at = utc_now(session) - timedelta(seconds=seconds)
            session.execute(update(Shard).where(Shard.id == number).values(queued_at=queued_at))
        take(session, numbers[0])
        cancel_job(session, ids[1])
    with reading(database) as session:
        waits = longest_waits(session, ["batch", "other", "empty"])
    assert waits == {"batch": pytest.approx(100, abs=30), "other": 0.0, "empty": 0.0}
