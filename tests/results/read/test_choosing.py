"""Choosing media by their names, on both databases."""

import pytest
from sqlalchemy import Engine as Database

from results.database import reading, writing
from results.plans import MediaPlan, ShardPlan
from results.read.choosing import media_named
from tests.support.rows import new_job


@pytest.mark.parametrize("words", ["Übung", "übung", "ÉTÉ", "été", "bung", ""])
def test_media_are_found_by_a_part_of_their_name_in_any_case(database: Database, words: str) -> None:
    with writing(database) as session:
        media = [MediaPlan("/srv/Übung ÉTÉ.jpg", "image"), MediaPlan("/srv/other.jpg", "image")]
        job_id = new_job(session, media, [ShardPlan(0, 1, 2)])
    with reading(database) as session:
        found = [medium.uri for medium in media_named(session, job_id, words)]
    assert found == ["/srv/Übung ÉTÉ.jpg", "/srv/other.jpg"][: 1 if words else 2]
