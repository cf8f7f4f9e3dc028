"""The status of jobs, one or many."""

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import update
from sqlalchemy.orm import Session

from results.catalogue import ID_DIGITS, add_ensemble, add_model
from results.closing import close_job
from results.database import reading, writing
from results.errors import UnknownJobError
from results.jobs import shard_of
from results.leases import fail
from results.plans import MediaPlan, ShardPlan
from results.read import status
from results.read.status import job_status, job_statuses
from results.shards import complete
from results.tables import Shard
from results.training import TrainingPlan, add_training
from tests.support.answers_job import add_job
from tests.support.rows import FOUR_PICTURES, ONE_VIDEO, THREE_SECONDS, TWO_PICTURES_EACH, frame, new_job, take
from tests.support.statements import statements


@pytest.fixture
def jobs(database: Database) -> list[str]:
    """A finished job with models, an empty one, one with a failed shard, one with an error, and a failed training."""
    finished = add_job(database)
    with writing(database) as session:
        empty = new_job(session, [], [])
        pictures = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        film = new_job(session, [*ONE_VIDEO, MediaPlan("x.mp4", "video", state="failed", error="torn")], THREE_SECONDS)
        run = add_training(session, TrainingPlan("classifier", "/data.csv", 3, {}))
        name_models(session, finished)
        # The finished job has shards 1 to 3 and media 1 to 4.
        complete(session, take(session, 4), [frame(5, 0, 0, 0)], [])
        fail(session, take(session, 5), "no memory")
        take(session, 6)
        fail(session, take(session, shard_of(session, run)), "no room")
        assert close_job(session, run)
    return [finished, empty, pictures, film, run]


def name_models(session: Session, job_id: str) -> None:
    """One ensemble made all rows of the job."""
    kinds = {"a": "detector", "b": "classifier", "c": "classifier"}
    for name, kind in kinds.items():
        add_model(session, name=name, kind=kind, sha256=name * 64, architecture="x", source="given")
    members = [("b" * ID_DIGITS, 0.25), ("c" * ID_DIGITS, 0.75)]
    ensemble = add_ensemble(session, name="ours", detector="a" * ID_DIGITS, members=members, margin=0.0)
    session.execute(update(Shard).where(Shard.job_id == job_id).values(ensemble_id=ensemble.id))


def test_many_statuses_are_those_of_each_job_in_the_order_asked_for(database: Database, jobs: list[str]) -> None:
    order = list(reversed(jobs))
    with reading(database) as session:
        together = job_statuses(session, [order[0], "no such job", *order[1:]])
        alone = [job_status(session, job_id) for job_id in order]
    # Speeds of running jobs depend on the moment.
    assert [(each.as_dict() | {"fps": 0, "eta_seconds": 0}) for each in together] == [
        (each.as_dict() | {"fps": 0, "eta_seconds": 0}) for each in alone
    ]
    by_job = {each.job: each for each in together}
    finished, empty, pictures, film, run = (by_job[job_id] for job_id in jobs)
    assert [(each["model"], each["share"], each["shards"]) for each in finished.models] == [
        ("a", None, 3),
        ("c", 0.75, 3),
        ("b", 0.25, 3),
    ]
    assert finished.ensembles == {"ours": 3} and finished.state == "done" and not empty.models
    assert (empty.media, empty.frames, empty.errors) == (0, 0, [])
    assert (pictures.media, pictures.frames) == (4, 1)
    assert [error["uri"] for error in pictures.errors] == ["c.jpg", "d.jpg"]
    assert (film.shards, film.planned_frames) == ({"pending": 2, "running": 1, "done": 0, "failed": 0}, 30)
    assert film.errors == [{"uri": "x.mp4", "error": "torn", "state": "failed"}]
    assert (run.kind, run.errors) == ("train", [{"uri": "/data.csv", "error": "no room", "state": run.state}])


@pytest.mark.parametrize("count", [1, 30])
def test_statuses_are_five_statements_for_one_job_and_for_thirty(database: Database, count: int) -> None:
    with writing(database) as session:
        ids = [new_job(session, ONE_VIDEO, THREE_SECONDS) for _ in range(count)]
    with reading(database) as session:
        session.connection()
        with statements(database) as sent:
            found = job_statuses(session, ids)
    assert [each.job for each in found] == ids and {each.planned_frames for each in found} == {30}
    assert len(sent) == 5, sent


def test_errors_are_limited_for_each_job(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "MAX_ERRORS", 2)
    torn = [MediaPlan(f"{name}.jpg", "image", state="failed", error="torn") for name in "cba"]
    with writing(database) as session:
        ids = [new_job(session, torn, list[ShardPlan]()) for _ in range(2)]
    with reading(database) as session:
        found = job_statuses(session, ids)
    assert [[error["uri"] for error in each.errors] for each in found] == [["c.jpg", "b.jpg"]] * 2


def test_there_is_no_status_of_an_unknown_job(database: Database) -> None:
    with reading(database) as session:
        assert job_statuses(session, []) == []
        with pytest.raises(UnknownJobError):
            job_status(session, "no such job")
