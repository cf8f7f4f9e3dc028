"""Adds weights to the store and the catalogue: pulled from the registry, or imported from files."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.errors import DownloadError, WeightsError
from fer_model.networks.download import Report, downloaded
from fer_model.networks.importing import adopt_classifier, adopt_detector, kind_of
from fer_model.networks.manifest import ModelSet, WeightsFile
from fer_model.networks.published import REGISTRY, Entry, Kind, Remote
from results import catalogue
from results.database import writing
from results.errors import NameTakenError
from results.tables import Model
from workers.models import store
from workers.settings import Settings

Begin = Callable[[Remote], Report]
"""Called before each download; returns the callback for its progress."""


def pull(
    database: Database, settings: Settings, name: str, begin: Begin, *, trust: bool = False
) -> tuple[list[Model], str]:
    """Downloads an entry of the registry; returns the models' rows and the name of their ensemble.

    A detector makes an ensemble with the classifiers in use, classifiers one with the shipped detector. With
    `trust`, `name` may be the address of an Ultralytics checkpoint.

    Raises:
        DownloadError: there is no such entry, or a file could not be fetched.
        WeightsError: a file is not of a kind that is supported.
        OSError: the store cannot be written to.
    """
    entry = _entry(name, trust)
    files = [_fetch(settings, file, begin(file), trust) for file in entry.files]
    with writing(database) as session:
        store.register(session, settings.models_dir, store.shipped(settings.models_dir))
        models = [_add(session, file, remote) for file, remote in zip(files, entry.files, strict=True)]
        return models, _ensemble(session, settings.models_dir, entry, files)


def add(
    database: Database, models_dir: Path, path: Path, name: str, kind: Kind | None = None, *, trust: bool = False
) -> Model:
    """Adds a user's file to the store and the catalogue; without `kind` the file's content decides.

    Raises:
        WeightsError: the file cannot be read, is not trusted, or is not of a kind that is supported.
        OSError: the store cannot be written to.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    given = Remote(name, kind or kind_of(path), str(path), None, licence=None)
    file = _adopt(models_dir, path, given, trust)
    with writing(database) as session:
        return _add(session, file, given, source="given")


def _entry(name: str, trust: bool) -> Entry:
    if name in REGISTRY:
        return REGISTRY[name]
    if "://" not in name:
        raise DownloadError(f"'{name}' is not in the registry; it knows {', '.join(sorted(REGISTRY))}.")
    if not trust:
        raise DownloadError(f"{name}: is not in the registry, so it is not verified; if you trust it, add --trust")
    stem = PurePosixPath(urlsplit(name).path).stem
    return Entry(stem, (Remote(stem, "detector", name, None),))


def _fetch(settings: Settings, remote: Remote, report: Report, trust: bool) -> WeightsFile:
    url = remote.address if "://" in remote.address else f"{settings.registry_url}/{remote.address}"
    # Many publishers name their file best.pt.
    key = hashlib.sha256((remote.digest or url).encode()).hexdigest()[:12]
    target = store.folder(settings.models_dir) / "downloads" / f"{key}-{PurePosixPath(urlsplit(url).path).name}"
    with downloaded(url, target, remote.digest, report) as whole:
        return _adopt(settings.models_dir, whole, remote, trust)


def _adopt(models_dir: Path, path: Path, remote: Remote, trust: bool) -> WeightsFile:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "weights.safetensors"
        if remote.kind == "detector":
            # The download was checked against the registry's digest.
            adopt_detector(path, target, trusted=trust or remote.digest is not None)
        else:
            adopt_classifier(path, target, remote.mean, remote.std)
        sha256 = store.keep(models_dir, target)
    return WeightsFile(remote.name, store.stored(models_dir, sha256), sha256)


def _add(session: Session, file: WeightsFile, remote: Remote, source: str = "pulled") -> Model:
    return catalogue.add_model(
        session,
        name=remote.name,
        kind=remote.kind,
        sha256=file.sha256,
        architecture=store.architecture(file, remote.kind),
        source=source,
        recipe=remote.recipe,
        licence=remote.licence,
        facts=remote.facts | {"from": remote.address, "digest": remote.digest},
    )


def _ensemble(session: Session, models_dir: Path, entry: Entry, files: list[WeightsFile]) -> str:
    if entry.shares:
        models = replace(store.shipped(models_dir), members=tuple(files), shares=entry.shares, temperature=1.0)
    else:
        models = replace(store.in_use(session, models_dir)[1], detector=files[0])
    return _named(session, models_dir, entry.name, models)


def _named(session: Session, models_dir: Path, name: str, models: ModelSet) -> str:
    try:
        return store.add_ensemble(session, models_dir, name, models).name
    except NameTakenError:
        # The name exists with other members: other classifiers were in use then.
        return store.add_ensemble(session, models_dir, f"{name}-{models.key[:8]}", models).name
