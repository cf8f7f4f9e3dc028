"""What `fer-batch doctor` looks at."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from fer_model.engines import actual_device, gpu_count
from fer_model.errors import FerModelError
from fer_model.networks.manifest import ModelSet
from results.database import check_revision, existing, reading
from results.errors import ResultsError
from results.urls import describe
from workers.batch.submitting import check_broker
from workers.errors import WorkersError
from workers.models import store
from workers.settings import Settings, mask, settings, writable_cache

LEAST_FREE_GB = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `mend` says what to do where it is not in order."""

    name: str
    ok: bool
    found: str
    mend: str | None = None


def run_checks() -> list[Check]:
    """Looks at everything a worker needs; never raises for what it finds."""
    return [_checked(*check) for check in _CHECKS]


def settings_table() -> dict[str, tuple[str, str]]:
    """Each setting's environment variable with its value, passwords hidden, and where it came from."""
    table = {}
    for name in Settings.model_fields:
        variable = f"FER_{name.upper()}"
        value = str(getattr(settings(), name))
        if name.endswith("_url"):
            value = mask(value)
        table[variable] = (value, "environment" if os.environ.get(variable) else "default")
    return table


def _broker() -> str:
    check_broker()
    return f"{mask(settings().broker_url)} answers"


def _database() -> str:
    check_revision(existing(settings().database_url))
    return f"{describe(settings().database_url)} is up to date"


def _device() -> str:
    gpus, device = gpu_count(), actual_device(settings().device)
    return f"{device} will be used ({gpus or 'no'} NVIDIA GPU, {os.cpu_count()} processors)"


def _weights() -> str:
    name, models = _in_use()
    for file in models.files:
        file.verify()
    return f"{name} is in use: {', '.join(file.name for file in models.files)} have the promised sha256"


def _in_use() -> tuple[str, ModelSet]:
    try:
        database = existing(settings().database_url)
        check_revision(database)
        with reading(database) as session:
            return store.in_use(session)
    except ResultsError:
        # Which is another check's business; without a database it is those shipped.
        models = store.shipped()
        return store.shipped_name(models), models


def _disk() -> str:
    folder = writable_cache()
    free = shutil.disk_usage(folder).free / 1e9
    if free < LEAST_FREE_GB:
        raise WorkersError(f"only {free:.1f} GB are free at {folder}")
    return f"{free:.0f} GB are free at {folder}"


_CHECKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("broker", _broker, "start Redis (`redis-server`), or set FER_BROKER_URL; `fer-batch run` needs none"),
    ("database", _database, "run `fer-batch db upgrade`, or set FER_DATABASE_URL"),
    ("device", _device, "set FER_DEVICE=auto, or mend the GPU's driver"),
    ("weights", _weights, "promote others (`fer-batch models promote shipped`), or mend what FER_MODELS_DIR names"),
    ("disk", _disk, "make room, or set FER_CACHE_DIR to a larger disk"),
)


def _checked(name: str, look: Callable[[], str], mend: str) -> Check:
    try:
        return Check(name, True, look())
    except (WorkersError, ResultsError, FerModelError, OSError) as error:
        return Check(name, False, str(error), mend)
