"""The clock inside statements, on both databases."""

from datetime import timedelta

from sqlalchemy import Engine as Database
from sqlalchemy import select, text, update

from results.clock import ago, now
from results.database import writing
from results.jobs import utc_now
from results.tables import Shard
from tests.support.rows import ONE_VIDEO, THREE_SECONDS, new_job

MS = timedelta(milliseconds=1)


def test_a_statement_s_clock_is_the_one_that_can_be_asked(database: Database) -> None:
    with writing(database) as session:
        before = utc_now(session)
        moment = session.scalar(select(now))
        after = utc_now(session)
    assert moment is not None and before - MS <= moment <= after, "SQLite's has milliseconds"


def test_some_time_ago_is_so_many_seconds_earlier(database: Database) -> None:
    with writing(database) as session:
        earlier, moment, later = session.execute(select(ago(90.5), now, ago(-90.5))).one()
    for difference in (moment - earlier, later - moment):
        assert round(difference.total_seconds(), 1) == 90.5


def test_it_is_written_as_any_other_time(database: Database) -> None:
    """SQLite compares times as text, so they need the same number of digits."""
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        session.execute(update(Shard).where(Shard.id == 1).values(queued_at=utc_now(session)))
        session.execute(update(Shard).where(Shard.id == 2).values(queued_at=now))
        if database.dialect.name == "sqlite":
            lengths = session.execute(text("SELECT length(queued_at) FROM shards WHERE id < 3")).scalars().all()
            assert lengths == [26, 26]
        assert session.scalars(select(Shard.id).where(Shard.queued_at <= ago(-1.0)).order_by(Shard.id)).all() == [1, 2]
