"""Evaluations: from labelled faces to rows of the catalogue."""

from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.errors import FerModelError
from fer_model.networks.classifiers import classifier_network
from fer_model.networks.loading import save_weights
from fer_model.networks.manifest import WeightsFile, given_file
from results.database import reading
from results.tables import Evaluation
from tests.support.tiny import write_tiny_faces
from workers.models.evaluating import evaluate, keep_evaluation
from workers.models.subjects import Subject, ensemble_subject, model_subject


@pytest.fixture
def member(tmp_path: Path) -> WeightsFile:
    """An untrained classifier, which is not in the catalogue."""
    torch.manual_seed(0)
    save_weights(classifier_network(), tmp_path / "mine.safetensors")
    return given_file(tmp_path / "mine.safetensors")


def test_a_report_becomes_a_row_of_its_model_or_ensemble(
    database: Database, member: WeightsFile, tmp_path: Path
) -> None:
    data, models_dir = write_tiny_faces(tmp_path / "fer2013.csv", validation=14), tmp_path / "store"
    subject = Subject(member.name, (member,))
    plain, mirrored = evaluate(subject, data, "PublicTest", device="cpu", cache=None, mirror=True)
    report = plain.as_dict()
    assert report["n"] == mirrored.as_dict()["n"] == 14
    assert not keep_evaluation(database, models_dir, subject, report, data, "PublicTest"), "not in the catalogue"
    shipped = ensemble_subject(None, models_dir, "shipped")
    single = model_subject(None, models_dir, shipped.members[0].name)
    for known in (shipped, single):
        assert keep_evaluation(database, models_dir, known, report, data, "PublicTest")
    with reading(database) as session:
        of_ensemble, of_model = session.scalars(select(Evaluation).order_by(Evaluation.id))
    assert of_ensemble.ensemble_id is not None and of_ensemble.model_id is None
    assert (of_model.ensemble_id, of_model.model_id) == (None, single.members[0].sha256[:12])
    for row in (of_ensemble, of_model):
        assert (row.n, row.accuracy, [row.ci_low, row.ci_high]) == (14, report["accuracy"], list(report["ci95"]))
        assert (row.data, row.split) == (str(data), "PublicTest")


def test_missing_data_is_an_error(member: WeightsFile, tmp_path: Path) -> None:
    with pytest.raises(FerModelError, match=r"none\.csv"):
        evaluate(Subject("mine", (member,)), tmp_path / "none.csv", "PublicTest", device="cpu", cache=None)
