"""The checks of `fer-batch doctor`."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from fer_model.errors import FerModelError
from fer_model.extras import missing
from results.errors import ResultsError
from workers.diagnosis import database, machine, queue
from workers.diagnosis.trouble import Trouble, Unknown
from workers.errors import WorkersError
from workers.settings import Settings, mask

CHECKS: dict[str, Callable[[Settings], str]] = {
    "broker": queue.broker,
    "limits": queue.limits,
    "database": database.database,
    "clock": database.clock,
    "workers": database.files,
    "device": machine.device,
    "weights": machine.weights,
    "disk": machine.disk,
}
"""In the order in which they are printed."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    `ok` is None if it could not be made; `mend` is the remedy if it failed and `found` does not name it.
    """

    name: str
    ok: bool | None
    found: str
    mend: str | None = None


def run_checks(settings: Settings) -> list[Check]:
    """Checks everything a worker needs; a failure is a result and no exception."""
    return [_checked(settings, name, look) for name, look in CHECKS.items()]


def settings_table(settings: Settings, options: Collection[str] = ()) -> dict[str, tuple[str, str]]:
    """Each setting's environment variable -> its value, passwords hidden, and its origin.

    The origin is `option` for the fields named in `options`, `environment` or `default`.
    """
    table = {}
    for name, value in settings:
        shown = mask(str(value)) if name.endswith("_url") else "not set" if value is None else str(value)
        given = "environment" if name in settings.model_fields_set else "default"
        table[f"FER_{name.upper()}"] = (shown, "option" if name in options else given)
    return table


def _checked(settings: Settings, name: str, look: Callable[[Settings], str]) -> Check:
    try:
        return Check(name, True, look(settings))
    except Unknown as error:
        return Check(name, None, str(error))
    except Trouble as error:
        return Check(name, False, str(error), error.mend)
    except (WorkersError, ResultsError, FerModelError, OSError) as error:
        # These messages name their remedy.
        return Check(name, False, str(error))
    except ModuleNotFoundError as error:
        return Check(name, False, missing(error) or str(error))
