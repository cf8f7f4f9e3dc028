"""Valence and arousal: one projection in the views, in queries and in Python, and no stored column."""

import pytest
from alembic import command
from sqlalchemy import Engine as Database
from sqlalchemy import inspect, text

from results import database as database_module
from results.database import connect, reading, upgrade, writing
from results.emotions import AFFECT, CIRCUMPLEX, EMOTIONS, projected
from results.plans import MediaPlan, ShardPlan
from results.shards import complete
from tests.support.rows import face, frame, new_job, take

VIEWS = ("emotion_timeline", "track_timeline")
MIXED = {"angry": 0.1, "disgust": 0.2, "fear": 0.05, "happy": 0.3, "sad": 0.15, "surprise": 0.05, "neutral": 0.15}
MIXED_AFFECT = (-0.0345, 0.305)
"""By hand: -0.051 - 0.12 - 0.032 + 0.243 - 0.0945 + 0.02, and 0.059 + 0.07 + 0.03 + 0.153 - 0.0405 + 0.0335."""


def test_each_emotion_alone_lies_at_its_coordinates_in_every_view(database: Database) -> None:
    scores = [{name: 1.0} for name in EMOTIONS] + [MIXED]
    faces = [face(1, n, n * 1000, track_id=7) | dict.fromkeys(EMOTIONS, 0.0) | each for n, each in enumerate(scores)]
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video")], [ShardPlan(0, 0, 8, video=True)])
        complete(session, take(session, 1), [frame(1, n, n * 1000, 1) for n in range(len(scores))], faces)
    wanted = [*(pytest.approx(CIRCUMPLEX[name]) for name in EMOTIONS), pytest.approx(MIXED_AFFECT)]
    with reading(database) as session:
        for view in (*VIEWS, "face_affect"):
            order = "time_ms" if view == "face_affect" else "second"
            query = text(f"SELECT valence, arousal FROM {view} WHERE job_id = :job ORDER BY {order}")
            assert [tuple(row) for row in session.execute(query, {"job": job_id})] == wanted, view
        keys = session.execute(
            text("SELECT media_id, frame_index, face_index, time_ms, track_id FROM face_affect")
        ).all()
    assert sorted(map(tuple, keys)) == [(1, n, 0, n * 1000, 7) for n in range(len(scores))]
    assert projected([MIXED[name] for name in EMOTIONS]) == pytest.approx(MIXED_AFFECT)


def test_coordinates_are_published_ones_within_their_range_and_neutral_is_the_origin() -> None:
    assert tuple(CIRCUMPLEX) == EMOTIONS and all(abs(value) <= 1 for at in CIRCUMPLEX.values() for value in at)
    # Russell and Mehrabian, 1977.
    published = {"happy": (0.81, 0.51), "surprise": (0.40, 0.67), "neutral": (0.0, 0.0)}
    assert {name: CIRCUMPLEX[name] for name in published} == published


def test_a_migration_adds_affect_at_the_end_of_the_views_and_takes_it_away_again(database_url: str) -> None:
    database = connect(database_url)
    with database.begin() as connection:
        command.upgrade(database_module._alembic_config(connection), "0007")
    before = {view: columns(database, view) for view in VIEWS}
    with database.begin() as connection:
        connection.execute(text("CREATE VIEW of_an_analyst AS SELECT job_id, happy FROM emotion_timeline"))
    upgrade(database_url)
    assert {view: columns(database, view) for view in VIEWS} == {v: [*names, *AFFECT] for v, names in before.items()}
    assert columns(database, "of_an_analyst") == ["job_id", "happy"], "views on ours go on"
    assert not {"valence", "arousal"} & {each["name"] for each in inspect(database).get_columns("faces")}
    with database.begin() as connection:
        connection.execute(text("DROP VIEW of_an_analyst"))
        command.downgrade(database_module._alembic_config(connection), "0007")
    assert {view: columns(database, view) for view in VIEWS} == before
    assert "face_affect" not in inspect(database).get_view_names()
    database.dispose()


def columns(database: Database, view: str) -> list[str]:
    with database.connect() as connection:
        return list(connection.execute(text(f"SELECT * FROM {view}")).keys())
