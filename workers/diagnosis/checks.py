"""The checks of `fer-batch doctor`."""

import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass

from fer_model.engines import NEEDS_TORCH, actual_device, gpu_count, has_torch
from fer_model.errors import FerModelError
from fer_model.extras import missing
from fer_model.networks.manifest import ModelSet
from results.database import check_revision, existing, reading
from results.errors import ResultsError
from results.presence import absent_workers
from results.urls import describe
from workers.errors import WorkersError
from workers.models import store
from workers.queue.app import make_app
from workers.queue.broker import check_broker
from workers.settings import Settings, mask, writable_cache

LEAST_FREE_GB = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; `mend` is the remedy if it failed."""

    name: str
    ok: bool
    found: str
    mend: str | None = None


def run_checks(settings: Settings) -> list[Check]:
    """Checks everything a worker needs; a failure is a result and no exception."""
    return [_checked(settings, *check) for check in _CHECKS]


def settings_table(settings: Settings, options: Collection[str] = ()) -> dict[str, tuple[str, str]]:
    """Each setting's environment variable -> its value, passwords hidden, and its origin.

    The origin is `option` for the fields named in `options`, `environment` or `default`.
    """
    table = {}
    for name, value in settings:
        shown = mask(str(value)) if name.endswith("_url") else str(value)
        given = "environment" if name in settings.model_fields_set else "default"
        table[f"FER_{name.upper()}"] = (shown, "option" if name in options else given)
    return table


def _broker(settings: Settings) -> str:
    check_broker(make_app(settings))
    return f"{mask(settings.broker_url)} answers"


def _database(settings: Settings) -> str:
    check_revision(existing(settings.database_url))
    return f"{describe(settings.database_url)} is up to date"


def _device(settings: Settings) -> str:
    gpus, device = gpu_count(), actual_device(settings.device)
    torch = f", which {NEEDS_TORCH}" if gpus and not has_torch() else ""
    return f"{device} will be used ({gpus or 'no'} NVIDIA GPU{torch}, {os.cpu_count()} processors)"


def _weights(settings: Settings) -> str:
    name, models = _in_use(settings)
    for file in models.files:
        file.verify()
    return f"{name} is in use: {', '.join(file.name for file in models.files)} have the promised sha256"


def _in_use(settings: Settings) -> tuple[str, ModelSet]:
    try:
        database = existing(settings.database_url)
        check_revision(database)
        with reading(database) as session:
            return store.in_use(session, settings.models_dir)
    except ResultsError:
        # Another check reports the database; without one, the models are those shipped.
        models = store.shipped(settings.models_dir)
        return store.shipped_name(models), models


def _workers(settings: Settings) -> str:
    try:
        with reading(existing(settings.database_url)) as session:
            absent = absent_workers(session)
    except ResultsError:
        # Another check reports the database.
        return "not known without the database"
    if absent:
        lost = "; ".join(f"{each.worker}: {each.uris[-1]}" for each in absent)
        raise WorkersError(f"{len(absent)} took themselves out, because files are missing on their hosts ({lost})")
    return "none has taken itself out for missing files"


def _disk(settings: Settings) -> str:
    folder = writable_cache(settings.cache_dir)
    free = shutil.disk_usage(folder).free / 1e9
    if free < LEAST_FREE_GB:
        raise WorkersError(f"only {free:.1f} GB are free at {folder}")
    return f"{free:.0f} GB are free at {folder}"


_CHECKS: tuple[tuple[str, Callable[[Settings], str], str], ...] = (
    ("broker", _broker, "start Redis (`redis-server`), or set FER_BROKER_URL; `fer-batch run` needs none"),
    ("database", _database, "run `fer-batch db upgrade`, or set FER_DATABASE_URL"),
    ("device", _device, "set FER_DEVICE=auto, or mend the GPU's driver"),
    ("weights", _weights, "promote others (`fer-batch models promote shipped`), or mend what FER_MODELS_DIR names"),
    ("workers", _workers, "mount the share on those hosts; the workers look again every few seconds"),
    ("disk", _disk, "make room, or set FER_CACHE_DIR to a larger disk"),
)


def _checked(settings: Settings, name: str, look: Callable[[Settings], str], mend: str) -> Check:
    try:
        return Check(name, True, look(settings))
    except (WorkersError, ResultsError, FerModelError, OSError) as error:
        return Check(name, False, str(error), mend)
    except ModuleNotFoundError as error:
        return Check(name, False, missing(error) or str(error), mend)
