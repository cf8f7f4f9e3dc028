"""Bulk inserts, on both databases."""

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from results.bulk import insert_rows
from results.database import reading, writing
from results.errors import DatabaseFullError
from results.tables import Face, Frame, Media, Shard
from tests.support.rows import ONE_VIDEO, THREE_SECONDS, face, frame, new_job


def keys(database: Database) -> tuple[int, int]:
    """A video, and its first shard."""
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        media_id = session.scalars(select(Media.id).where(Media.job_id == job_id)).one()
        return media_id, session.scalars(select(Shard.id).where(Shard.job_id == job_id)).all()[0]


def test_rows_come_back_as_they_were_given(database: Database) -> None:
    media_id, shard_id = keys(database)
    rows = [face(media_id, index, index * 40, happy=1 / 3, neutral=2 / 3) for index in range(3)]
    rows[1] |= {"track_id": 7, "x1": 1e-17, "emotion": "a\tb\\N\n'ü"}
    rows[2] |= {"time_ms": 2**40, "quality": None}
    with writing(database) as session:
        insert_rows(session, Face, rows, shard_id=shard_id)
    with reading(database) as session:
        found = session.scalars(select(Face).order_by(Face.frame_index)).all()
    assert [{name: getattr(each, name) for name in rows[0]} for each in found] == rows
    assert {each.shard_id for each in found} == {shard_id}


def test_what_is_the_same_in_all_rows_wins(database: Database) -> None:
    media_id, shard_id = keys(database)
    with writing(database) as session:
        insert_rows(session, Frame, [frame(media_id, 0, 0, 1) | {"shard_id": -1}], shard_id=shard_id)
        insert_rows(session, Frame, [], shard_id=shard_id)
    with reading(database) as session:
        assert session.scalars(select(Frame.shard_id)).all() == [shard_id]


def test_an_error_is_one_of_sqlalchemys_and_takes_everything_back(database: Database) -> None:
    media_id, shard_id = keys(database)
    twice = [frame(media_id, 0, 0, 1), frame(media_id, 0, 0, 1)]
    with pytest.raises(DBAPIError, match=r"(?i)unique"), writing(database) as session:
        insert_rows(session, Frame, twice, shard_id=shard_id)
    with writing(database) as session:
        assert session.scalar(select(func.count()).select_from(Frame)) == 0
        insert_rows(session, Frame, twice[:1], shard_id=shard_id)


FULL = """
CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$
LANGUAGE plpgsql;
CREATE TRIGGER full_disk BEFORE INSERT ON frames FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)
def test_a_full_disk_of_postgresql_is_one_sentence(database: Database) -> None:
    """The server's own error, in the middle of COPY, as its disk would give it."""
    media_id, shard_id = keys(database)
    with writing(database) as session:
        session.connection().exec_driver_sql(FULL)
    try:
        with pytest.raises(DatabaseFullError, match="no room left on the disk"), writing(database) as session:
            insert_rows(session, Frame, [frame(media_id, 0, 0, 1)], shard_id=shard_id)
    finally:
        with writing(database) as session:
            session.connection().exec_driver_sql("DROP FUNCTION refuse CASCADE")
