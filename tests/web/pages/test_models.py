"""The page Models, run as Streamlit runs it but without a browser: tables and charts; and promotion in a browser."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session
from streamlit.testing.v1 import AppTest

from results import catalogue
from results.database import connect, prepare, reading, writing
from results.emotions import EMOTIONS
from results.tables import Ensemble, EnsembleMember, Evaluation, TrainingEpoch, TrainingRun
from results.training import TrainingPlan, add_training
from tests.support.pages import browsing, opened, serving_page
from tests.support.scripted_pages import scripted, scripted_server
from web.parts.names import plain
from workers.models import store

MATRIX = [[100 + n if n == m else m for m in range(7)] for n in range(7)]


@pytest.fixture
def folder(database: Database, tmp_path: Path) -> Iterator[Path]:
    """The folder of models of a server, of which Models is the page."""
    with scripted_server(database, tmp_path, models_dir=tmp_path / "models") as server:
        yield server.settings.models_dir


def models_page() -> AppTest:
    def script() -> None:
        from web.pages.models import page

        page()

    return scripted(script)


def add_ensemble(session: Session, folder: Path) -> Ensemble:
    """Adds the ensemble `one` of the shipped ensemble's first classifier, and returns the shipped one."""
    shipped = store.register(session, folder, store.shipped(folder))
    members = catalogue.members_of(session, shipped)
    one = Ensemble(name="one", detector_id=shipped.detector_id, margin=0.0)
    session.add(one)
    session.flush()
    session.add(EnsembleMember(ensemble_id=one.id, position=0, model_id=members[0][0].id, share=1.0))
    return shipped


def measured(ensemble: Ensemble, matrix: list[list[int]], at: datetime | None = None) -> Evaluation:
    """A measurement of the ensemble at this time, or now."""
    facts = {"split": "PublicTest", "data": "fer2013.csv", "n": 3589, "macro_f1": 0.66, "ece": 0.02}
    figures = {"accuracy": 68.74, "ci_low": 67.2, "ci_high": 70.2, "gmacs": 0.046421376}
    moment = {"created_at": at} if at else {}
    return Evaluation(ensemble_id=ensemble.id, **facts, **figures, **moment, report={"confusion": matrix})


def test_without_measurements_it_says_how_to_get_them(folder: Path) -> None:
    app = models_page()
    assert [each.value for each in app.subheader] == [
        "Ensembles",
        "Classifiers",
        "Evaluations",
        "Training",
        "Model cards",
    ]
    captions = " ".join(each.value for each in app.caption)
    assert all(f"`fer-batch {command}`" in captions for command in ("ensemble fit", "evaluate", "train"))
    ensembles, classifiers = (frame.value for frame in app.dataframe)
    assert ensembles["In use"].tolist() == ["yes"] and (classifiers["Accuracy %"] > 60).all()
    assert "AGPL-3.0" in classifiers["Licence"].tolist() and "Limits" in app.markdown[-1].value


def test_measurements_training_and_promotion(database: Database, folder: Path) -> None:
    with writing(database) as session:
        shipped = add_ensemble(session, folder)
        catalogue.add_evaluation(session, measured(shipped, MATRIX))
        run = add_training(session, TrainingPlan("classifier", "fer2013.csv", 3, {}, recipe="crp", name="again"))
        for epoch in (1, 2):
            row = {"loss": 1.0 / epoch, "validation_accuracy": 0.3 * epoch, "learning_rate": 1e-3, "seconds": 2.0}
            session.add(TrainingEpoch(job_id=run, epoch=epoch, train_accuracy=0.2, **row))
        session.get_one(TrainingRun, run).best_accuracy = 0.6
    app = models_page()
    frames = [frame.value for frame in app.dataframe]
    (ablation,) = (frame for frame in frames if "Efficiency" in frame)
    # The published table's figure: 68.74 / (100 x 0.046421376).
    assert ablation["Efficiency"].tolist() == [pytest.approx(14.81, abs=0.005)]
    (confusion,) = (frame for frame in frames if "label" in frame)
    assert confusion["label"].tolist() == list(EMOTIONS) and confusion["surprise"].tolist() == [
        row[5] for row in MATRIX
    ]
    (history,) = (frame for frame in frames if "loss" in frame)
    assert history["validation_accuracy"].tolist() == [0.3, 0.6]
    assert any("epoch 2 of 3 · best 60.00%" in each.value for each in app.caption)


def test_two_measurements_of_one_day_can_both_be_chosen(database: Database, folder: Path) -> None:
    with writing(database) as session:
        shipped = add_ensemble(session, folder)
        for hour, faces in ((9, 900), (10, 1000)):
            at = datetime(2026, 5, 1, hour, tzinfo=UTC)
            catalogue.add_evaluation(session, measured(shipped, [[faces] * 7] * 7, at))
    app = models_page()
    (chosen,) = (box for box in app.selectbox if box.label == "Confusion matrix")
    assert [option[-11:] for option in chosen.options] == [" · 10:00:00", " · 09:00:00"]
    chosen.select(chosen.options[1]).run()
    (confusion,) = (frame.value for frame in app.dataframe if "label" in frame.value)
    assert confusion["happy"].tolist() == [900] * 7


def test_a_pinned_release_is_called_so_and_follows_later_ones_again(database: Database, folder: Path) -> None:
    name = store.shipped_name(store.shipped(folder))
    store.promote(database, folder, name)
    app = models_page()
    assert app.dataframe[0].value["In use"].tolist() == ["pinned"]
    app.button[0].click().run()
    assert [each.value for each in app.success] == [f"{plain(name)} is in use."]
    assert app.dataframe[0].value["In use"].tolist() == ["yes"] and not app.button
    with reading(database) as session:
        assert catalogue.promoted(session) is None


def test_an_ensemble_is_promoted_by_a_click(tmp_path: Path) -> None:
    url, folder = f"sqlite:///{tmp_path / 'results.db'}", tmp_path / "models"
    prepare(url)
    database = connect(url)
    with writing(database) as session:
        add_ensemble(session, folder)
    given = {"FER_MODELS_DIR": str(folder), "FER_UPLOADS_DIR": str(tmp_path / "uploads"), "FER_DEVICE": "cuda:63"}
    with serving_page(tmp_path / "web.log", url, **given) as address, browsing() as chromium:
        page = opened(chromium, f"{address}/models")
        page.get_by_role("button", name="Promote").click()
        page.get_by_text("one is in use.").wait_for()
        narrow = opened(chromium, f"{address}/models", width=400)
        narrow.locator("[data-testid=stMarkdownContainer] table").first.wait_for()
        # The tables of a card scroll, not the page.
        narrow.wait_for_function("document.querySelector('[data-testid=stMain]').scrollWidth === 400")
    with reading(database) as session:
        assert store.in_use(session, folder)[0] == "one"
    database.dispose()
