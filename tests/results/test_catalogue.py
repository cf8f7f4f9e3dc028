"""The models' catalogue, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select
from sqlalchemy.orm import Session

from results import catalogue
from results.database import reading, writing
from results.errors import NameTakenError, UnknownEnsembleError, UnknownModelError
from results.jobs import delete_job
from results.read.status import job_status
from results.shards import complete
from results.tables import Ensemble, EnsembleMember, Evaluation, Job, Model, Shard, TrainingRun
from tests.support.rows import FOUR_PICTURES, TWO_PICTURES_EACH, new_job, take

HASHES = {name: f"{number}" * 64 for number, name in enumerate(("detector", "first", "second"), start=1)}
IDS = {name: sha256[:12] for name, sha256 in HASHES.items()}


def add_three(session: Session) -> None:
    """A detector and two classifiers."""
    for name, sha256 in HASHES.items():
        kind = "detector" if name == "detector" else "classifier"
        catalogue.add_model(session, name=name, kind=kind, sha256=sha256, architecture="a", source="given")


def add_ensemble(session: Session, name: str, *members: tuple[str, float]) -> Ensemble:
    chosen = members or (("first", 0.25), ("second", 0.75))
    parts = [(IDS[member], share) for member, share in chosen]
    return catalogue.add_ensemble(session, name=name, detector=IDS["detector"], members=parts, margin=0.1)


def test_a_model_is_added_once(database: Database) -> None:
    with writing(database) as session:
        add_three(session)
        add_three(session)
        again = catalogue.add_model(
            session, name="other", kind="classifier", sha256=HASHES["first"], architecture="b", source="pulled"
        )
        assert (again.name, again.architecture) == ("first", "a")
        assert len(catalogue.list_models(session)) == 3


@pytest.mark.parametrize("reference", ["222222222222", "2" * 64, "2222", "first"])
def test_a_model_is_found_by_id_hash_and_name(database: Database, reference: str) -> None:
    with writing(database) as session:
        add_three(session)
        assert catalogue.find_model(session, reference).name == "first"


def test_a_run_stands_for_the_model_it_made(database: Database) -> None:
    """Of two runs with the same weights only the first is in the model's row."""
    with writing(database) as session:
        add_three(session)
        for run, name in (("1a", "trial"), ("2b", "again")):
            session.add(Job(id=run, name=name, kind="train", options={}))
            session.flush()
            made = {"kind": "classifier", "data": "d", "definition": {}, "epochs": 1, "model_id": IDS["first"]}
            session.add(TrainingRun(job_id=run, **made))
            session.flush()
        assert {catalogue.find_model(session, each).name for each in ("1a", "2b", "trial", "again")} == {"first"}


def test_a_model_that_is_not_meant_by_one_word(database: Database) -> None:
    with writing(database) as session:
        add_three(session)
        sha256 = "1" * 10 + "f" * 54
        catalogue.add_model(session, name="first", kind="detector", sha256=sha256, architecture="a", source="given")
        for reference, words in (("first", "Several models"), ("11", "Several"), ("", "no model"), ("%", "no model")):
            with pytest.raises(UnknownModelError, match=words):
                catalogue.find_model(session, reference)


def test_an_ensemble_keeps_its_members_in_order_and_never_changes(database: Database) -> None:
    with writing(database) as session:
        add_three(session)
        made = add_ensemble(session, "both")
        found = [(model.name, share) for model, share in catalogue.members_of(session, made)]
        assert found == [("first", 0.25), ("second", 0.75)]
        with pytest.raises(NameTakenError, match="'both' already"):
            add_ensemble(session, "both", ("first", 1.0))
        add_ensemble(session, "one", ("first", 1.0))
    with reading(database) as session:
        assert [row.name for row in catalogue.list_ensembles(session)] == ["one", "both"]
        with pytest.raises(UnknownEnsembleError, match="no ensemble 'none'"):
            catalogue.find_ensemble(session, "none")
        assert len(session.scalars(select(EnsembleMember)).all()) == 3


def test_the_last_promotion_counts_whatever_the_clock_says(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (0, 0, -3600)]
    monkeypatch.setattr("results.catalogue.utc_now", lambda session: moments.pop(0))
    with writing(database) as session:
        add_three(session)
        for name in ("a", "b"):
            add_ensemble(session, name)
        assert catalogue.promoted(session) is None
    for name in ("b", "a", "b"):
        with writing(database) as session:
            catalogue.promote(session, name)
        with reading(database) as session:
            assert (found := catalogue.promoted(session)) is not None and found.name == name
    with writing(database) as session:
        catalogue.demote_all(session)
        assert catalogue.promoted(session) is None


def test_a_promotion_of_nothing_changes_nothing(database: Database) -> None:
    with writing(database) as session:
        add_three(session)
        add_ensemble(session, "a")
        catalogue.promote(session, "a")
    with pytest.raises(UnknownEnsembleError), writing(database) as session:
        catalogue.promote(session, "nothing")
    with reading(database) as session:
        assert (found := catalogue.promoted(session)) is not None and found.name == "a"


def test_a_job_says_which_models_made_its_rows(database: Database) -> None:
    with writing(database) as session:
        add_three(session)
        both, one = add_ensemble(session, "both"), add_ensemble(session, "one", ("second", 1.0))
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        assert job_status(session, job_id).models == []
        complete(session, take(session, 1), [], [], ensemble_id=both.id)
        complete(session, take(session, 2), [], [], ensemble_id=one.id)
        status = job_status(session, job_id)
    rows = [tuple(row[key] for key in ("ensemble", "role", "model", "share", "shards")) for row in status.models]
    assert rows == [
        ("both", "detector", "detector", None, 1),
        ("both", "classifier", "second", 0.75, 1),
        ("both", "classifier", "first", 0.25, 1),
        ("one", "detector", "detector", None, 1),
        ("one", "classifier", "second", 1.0, 1),
    ]
    assert status.ensembles == {"both": 1, "one": 1}
    assert status.models[0]["sha256"] == HASHES["detector"]


def test_the_models_outlive_the_job_that_used_them(database: Database) -> None:
    with writing(database) as session:
        add_three(session)
        made = add_ensemble(session, "both")
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        complete(session, take(session, 1), [], [], ensemble_id=made.id)
    with writing(database) as session:
        model = session.get_one(Model, IDS["first"])
        model.job_id = job_id
        session.flush()
        delete_job(session, job_id)
        session.expire_all()
        assert session.get_one(Model, IDS["first"]).job_id is None
        assert catalogue.find_ensemble(session, "both") and not session.scalars(select(Shard)).all()


def test_evaluations_belong_to_one_model_or_one_ensemble(database: Database) -> None:
    figures = {"n": 9, "accuracy": 60.0, "ci_low": 50.0, "ci_high": 70.0, "macro_f1": 0.5, "ece": 0.1, "gmacs": 0.02}
    with writing(database) as session:
        add_three(session)
        made = add_ensemble(session, "both")
        for place in ({"model_id": IDS["first"]}, {"ensemble_id": made.id}, {"ensemble_id": made.id}):
            catalogue.add_evaluation(session, Evaluation(data="d", split="s", report={}, **figures, **place))
        assert [row.id for row in catalogue.list_evaluations(session, model=IDS["first"])] == [1]
        assert [row.id for row in catalogue.list_evaluations(session, ensemble=made.id)] == [3, 2]
        assert list(catalogue.list_evaluations(session, model=IDS["second"])) == []
