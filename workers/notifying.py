"""Posts the ends of jobs to the addresses that `submit --notify` gave: at least once, signed."""

import hmac
import json
import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine as Database

from fer_model.sources.roots import lies_below
from results.database import reading, writing
from results.errors import UnknownJobError
from results.jobs import UNFINISHED
from results.notifications import note_outcome, take_due
from results.read.status import job_status
from workers.settings import Settings

logger = logging.getLogger(__name__)

LONGEST_S = 5.0
"""How long a server may take; the sweep waits for it."""

SIGNATURE = "Fer-Signature"
"""The header `sha256=HEX`: the HMAC of the body under FER_NOTIFY_SECRET."""


def post_ends(database: Database, settings: Settings, queues: Sequence[str]) -> int:
    """Posts what is due in these queues; returns how many were answered. Raises `ResultsError`."""
    with writing(database) as session:
        due = take_due(session, queues)
    answered = 0
    for job_id, url, attempt in due:
        with reading(database) as session:
            body = _body(session, job_id)
        if body is None:
            continue
        error = _post(url, body, settings)
        with writing(database) as session:
            note_outcome(session, job_id, attempt, error)
        answered += error is None
        if error:
            logger.warning("job %s: its end could not be posted: %s", job_id, error)
    return answered


def _body(session: Any, job_id: str) -> bytes | None:
    """What is posted; None if the job was deleted or opened again meanwhile."""
    try:
        status = job_status(session, job_id)
    except UnknownJobError:
        return None
    if status.state in UNFINISHED:
        return None
    counts = ("media", "failed", "frames", "faces", "shards")
    named = {name: getattr(status, name) for name in ("job", "name", "state", "error", *counts)}
    return json.dumps(named).encode()


def _post(url: str, body: bytes, settings: Settings) -> str | None:
    """None if the server took it, else why not; never with the address, which may hold a secret."""
    from fer_model.sources.connecting import InnerAddressError, client

    if settings.notify_secret is None:
        return "FER_NOTIFY_SECRET is not set on the worker"
    secret = settings.notify_secret.get_secret_value().encode()
    signature = hmac.new(secret, body, "sha256").hexdigest()
    headers = {"Content-Type": "application/json", SIGNATURE: f"sha256={signature}"}
    any_address = any(lies_below(url, root) for root in settings.permitted_roots)
    try:
        with client(any_address, LONGEST_S) as session:
            answer = session.post(url, body, headers=headers, timeout=LONGEST_S, allow_redirects=False, stream=True)
            return None if answer.ok and not answer.is_redirect else f"the server answered {answer.status_code}"
    except InnerAddressError:
        return "the address is not of the public internet; FER_MEDIA_ROOTS may name its host"
    except (OSError, UnicodeError) as error:  # as requests' own errors are, and that of a name that is none: a..b
        return f"the server could not be reached ({type(error).__name__})"
