"""Finding models and ensembles by reference, for `evaluate` and `ensemble fit`."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from torch import nn

from fer_model.errors import WeightsError
from fer_model.networks.loading import save_weights
from fer_model.networks.manifest import WeightsFile, given_file
from results import catalogue
from results.database import writing
from results.errors import NameTakenError, UnknownEnsembleError, UnknownModelError
from workers.errors import SameModelError
from workers.models import store
from workers.models.fitting import ensemble_template, keep_ensemble
from workers.models.subjects import (
    ensemble_subject,
    find_classifiers,
    find_weights,
    model_subject,
)


@pytest.fixture
def own_store(tmp_path: Path) -> Path:
    """A store with nothing in it."""
    return tmp_path / "store"


@pytest.fixture
def given(tmp_path: Path) -> WeightsFile:
    """A file outside the catalogue; these tests read its metadata at most."""
    save_weights(nn.Linear(1, 1), tmp_path / "mine.safetensors")
    return given_file(tmp_path / "mine.safetensors")


def test_shipped_classifiers_need_no_database(given: WeightsFile, own_store: Path) -> None:
    member = store.shipped(own_store).members[1]
    for reference in (member.name, member.sha256, member.sha256[:12], str(member.path)):
        assert find_weights(None, own_store, reference, "classifier").sha256 == member.sha256
    assert find_weights(None, own_store, str(given.path), "classifier") == given
    assert model_subject(None, own_store, member.name).shares == (1.0,)


def test_what_is_not_there_is_named(own_store: Path) -> None:
    with pytest.raises(UnknownModelError, match="no model 'other' among those shipped, and no database"):
        find_weights(None, own_store, "other", "classifier")
    with pytest.raises(UnknownEnsembleError, match="no ensemble 'other' among those shipped, and no database"):
        ensemble_subject(None, own_store, "other")
    with pytest.raises(WeightsError, match=r"none\.safetensors: the weights cannot be read"):
        find_weights(None, own_store, "none.safetensors", "classifier")


def test_what_the_catalogue_lacks_is_named(database: Database, own_store: Path) -> None:
    with pytest.raises(UnknownModelError, match="no model 'other'"):
        find_weights(database, own_store, "other", "classifier")
    with pytest.raises(UnknownEnsembleError, match="no ensemble 'other'"):
        ensemble_subject(database, own_store, "other")


def test_without_a_name_it_is_the_ensemble_in_use(database: Database, given: WeightsFile, own_store: Path) -> None:
    shipped = ensemble_subject(None, own_store, None)
    assert shipped == ensemble_subject(None, own_store, "shipped") == ensemble_subject(database, own_store, None)
    models = replace(
        ensemble_template(database, own_store, "mine", None), members=(given,), shares=(1.0,), temperature=1.5
    )
    assert keep_ensemble(database, own_store, models, "mine", "PublicTest") == "mine"
    assert ensemble_subject(database, own_store, None) == shipped, "only promotion changes what is in use"
    with writing(database) as session:
        catalogue.promote(session, "mine")
    mine = ensemble_subject(database, own_store, None)
    assert (mine.name, mine.shares, mine.temperature) == ("mine", (1.0,), 1.5)
    assert mine.members[0].sha256 == given.sha256
    assert ensemble_subject(database, own_store, "shipped") == shipped


def test_a_kept_file_lies_in_the_store_and_is_found_by_its_name(
    database: Database, given: WeightsFile, own_store: Path
) -> None:
    models = replace(ensemble_template(database, own_store, None, None), members=(given,), shares=(1.0,))
    name = keep_ensemble(database, own_store, models, None, "PublicTest")
    assert name == keep_ensemble(database, own_store, models, None, "PublicTest"), (
        "the same choice is the same ensemble"
    )
    assert [path.read_bytes() for path in own_store.iterdir()] == [given.path.read_bytes()]
    assert find_weights(database, own_store, "mine", "classifier").path.parent == own_store


def test_an_ensemble_never_changes(database: Database, given: WeightsFile, own_store: Path) -> None:
    models = replace(ensemble_template(database, own_store, "mine", None), members=(given,), shares=(1.0,))
    keep_ensemble(database, own_store, models, "mine", "PublicTest")
    for name in ("mine", "shipped"):
        with pytest.raises(NameTakenError, match=f"'{name}'"):
            ensemble_template(database, own_store, name, None)
    with pytest.raises(NameTakenError, match="'mine'"):
        keep_ensemble(database, own_store, models, "mine", "PublicTest")


def test_building_an_ensemble_writes_nothing_before_it_is_kept(database: Database, own_store: Path) -> None:
    ensemble_template(database, own_store, "mine", store.shipped(own_store).detector.name)
    with writing(database) as session:
        assert not catalogue.list_models(session) and not catalogue.list_ensembles(session)


def test_one_model_by_two_names_is_refused(own_store: Path) -> None:
    first, second = store.shipped(own_store).members
    assert find_classifiers(None, own_store, (first.name, str(second.path))) == (first, given_file(second.path))
    with pytest.raises(SameModelError, match=f"^'{first.name}' and '{first.path}' are the same model"):
        find_classifiers(None, own_store, (first.name, second.name, str(first.path)))


def test_detectors_and_classifiers_are_not_mixed_up(database: Database, own_store: Path) -> None:
    models = store.shipped(own_store)
    assert ensemble_template(database, own_store, None, models.detector.name).detector == models.detector
    with pytest.raises(UnknownModelError, match="is a classifier, not a detector"):
        ensemble_template(database, own_store, None, models.members[0].name)
    with pytest.raises(UnknownModelError, match="is a detector, not a classifier"):
        find_weights(database, own_store, models.detector.name, "classifier")
