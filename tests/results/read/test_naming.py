"""Names of shards and jobs, on both databases."""

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select

from results.database import writing
from results.jobs import create_job
from results.plans import MediaPlan, ShardPlan, add_plan
from results.read.naming import name_of_job, name_of_shard
from results.tables import Shard, TrainingRun

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
