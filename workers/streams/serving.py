"""Takes a stream up: the claim of its lease, and what the hub needs to serve it."""

import logging
import os
from functools import partial

from sqlalchemy import Engine as Database

from fer_model.errors import FerModelError
from fer_model.sources.live.capture import Capture
from results import backlog, leases, recording
from results.database import reading, writing
from results.jobs import job_of_shard
from results.leases import STREAM_LEASE_S, Claim
from results.recording import Resumed
from results.streams import StreamOptions
from workers.batch.crops import Kept
from workers.batch.crops_roots import folder_of
from workers.errors import WorkersError
from workers.lease.outages import insist
from workers.lease.policy import reason_of
from workers.settings import Settings, writable_cache
from workers.streams.analysis import Analysis
from workers.streams.hub import Hub
from workers.streams.logins import login_of
from workers.streams.stream import Stream

logger = logging.getLogger(__name__)

FULL_S, LONGEST_S = 1.0, 10.0
"""A stream for which this process has no room gets its next message after so many seconds, which double each time."""


def serve(hub: Hub, shard_id: int) -> bool:
    """Hands the stream of this shard to the hub; True if it serves it now.

    Without room for it, it is left to another worker. Raises `ResultsError`; the sweep sends it again.
    """
    found = _stream_of(hub.database, shard_id)
    if found is None or hub.serves(shard_id):
        # Messages may come twice.
        return False
    name, options = found
    is_served = was_refused = False
    try:
        if hub.is_open:
            with hub.analysis() as analysis:
                was_refused = not hub.has_room(analysis, name, options.fps)
                is_served = not was_refused and _take_up(hub, analysis, shard_id)
    except (FerModelError, WorkersError, OSError) as error:
        was_refused = True
        hub.refusals[name] += 1
        logger.error("stream %s: cannot be served here: %s", name, error)
    finally:
        if not is_served:
            # A claim that came too early, or too late, is no reason for a pause.
            pause_s = min(LONGEST_S, FULL_S * 2 ** min(hub.refusals[name], 10)) if was_refused else 0.0
            with writing(hub.database) as session:
                backlog.pass_on(session, shard_id, pause_s)
    return is_served


def _stream_of(database: Database, shard_id: int) -> tuple[str, StreamOptions] | None:
    """The name and the options of a stream; None if it was deleted, or is none."""
    with reading(database) as session:
        job = job_of_shard(session, shard_id)
    if job is None:
        return None
    if job.kind != "stream":
        logger.error("the message for shard %s was skipped: it belongs to a job of kind %s", shard_id, job.kind)
        return None
    return job.name or job.id, StreamOptions.of(job.options)


def _take_up(hub: Hub, analysis: Analysis, shard_id: int) -> bool:
    claimed = insist(partial(_claim, hub.database, shard_id, hub.worker))
    if claimed is None:
        return False
    try:
        hub.add(analysis, _stream(hub, analysis, *claimed))
    except Exception as error:
        with writing(hub.database) as session:
            leases.requeue(session, claimed[0], reason_of(error))
        raise
    return True


def _claim(database: Database, shard_id: int, worker: str) -> tuple[Claim, Resumed] | None:
    with writing(database) as session:
        claim = leases.claim(session, shard_id, worker, lease_s=STREAM_LEASE_S, kind="stream")
        return None if claim is None else (claim, recording.resume(session, claim))


def _stream(hub: Hub, analysis: Analysis, claim: Claim, resumed: Resumed) -> Stream:
    login = login_of(resumed.name, resumed.login, os.environ)
    # Before the capture, whose threads would go on if it was refused.
    kept = _kept(hub.settings, claim, resumed.options)
    capture = Capture(
        resumed.uri,
        login=None if login is None else (login.username, login.password),
        fps=resumed.options.fps,
        policy=resumed.options.policy,
        spool=writable_cache(hub.settings.cache_dir) if resumed.options.policy == "everything" else None,
        roots=hub.settings.permitted_roots,
        on_ready=analysis.pump.wake,
    )
    return Stream(hub.database, claim, resumed, capture, analysis.ensemble_id, kept)


def _kept(settings: Settings, claim: Claim, options: StreamOptions) -> Kept | None:
    folder = folder_of(options.as_dict(), claim.job_id, settings.permitted_crops)
    return Kept(folder, settings.mode_of_faces) if folder else None
