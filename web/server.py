"""What the whole server shares: settings, one database, and one set of networks, loaded once."""

import logging
from threading import Event, Lock

import numpy as np
from sqlalchemy import Engine as Database

from fer_model.analysis.analyser import Analyser
from fer_model.engines import load_engine
from fer_model.networks.manifest import ModelSet
from results.database import connect, prepare, reading, writing
from results.errors import ResultsError
from results.leases import STREAM_LEASE_S
from web.errors import WebError
from web.live import Watch
from web.recording import Recording, end_abandoned
from web.uploads import Uploads
from workers.models.store import current, in_use
from workers.settings import Settings, expanded, writable_cache

logger = logging.getLogger(__name__)

ABANDONED_S = STREAM_LEASE_S + 1
"""Seconds after its start in which a server leaves recordings alone: one that was killed just before has leases yet."""


class Server:
    """The state of the process that serves the page. Every method may be called by any thread.

    Its database is made if it is not there.

    Raises:
        ResultsError: the database cannot be used.
        WebError: the folder of uploads cannot be written to.
    """

    def __init__(self, settings: Settings, *, is_private: bool = True) -> None:
        prepare(settings.database_url)
        self.settings = settings
        self.database: Database = connect(settings.database_url)
        self.uploads = _uploads(settings)
        self.is_private = is_private
        """Whether all visitors are on this machine."""
        self.watches: dict[str, Watch] = {}
        """What visitors show to their webcams, by a token of each visit."""
        self.recordings: dict[str, Recording] = {}
        """Those of visits that record, by the same token."""
        self._lock, self._is_closing = Lock(), Event()
        self._models: ModelSet | None = None
        self._analyser: Analyser | None = None

    @property
    def roots(self) -> tuple[str, ...]:
        """What media must lie below; empty if they may lie anywhere."""
        return self.settings.permitted_roots

    @property
    def may_submit_paths(self) -> bool:
        """Whether a visitor may name files: where FER_MEDIA_ROOTS limits them, or on the visitor's own machine."""
        return bool(self.roots) or self.is_private

    def analyser(self) -> tuple[Analyser, ModelSet]:
        """The networks of the ensemble in use, with its models; loaded at the first call and after a promotion.

        Raises `WeightsError`, `WorkersError` and what the engine raises.
        """
        with reading(self.database) as session:
            _, models = in_use(session, self.settings.models_dir)
        with self._lock:
            if self._analyser is None or self._models is None or self._models.key != models.key:
                cache = writable_cache(self.settings.cache_dir)
                engine = load_engine(models, self.settings.device, cache, latency=True)
                # Pages that use the earlier one may be in the middle of a picture: it ends after they let go of it.
                self._analyser, self._models = Analyser(engine, models), models
            return self._analyser, self._models

    def warm_up(self) -> None:
        """Loads the networks, so that the first visitor need not wait; what fails is told when it is needed."""
        try:
            analyser, _ = self.analyser()
            analyser.image(np.zeros((360, 640, 3), np.uint8))
        except Exception as error:
            logger.warning("the networks are not ready: %s", error)

    def end_abandoned(self) -> None:
        """Stops recordings of servers that were killed, once their leases must be over."""
        if self._is_closing.wait(ABANDONED_S):
            return
        try:
            end_abandoned(self.database)
        except ResultsError as error:
            logger.warning("recordings of an earlier server are not ended: %s", error)

    def record(self, token: str, name: str) -> None:
        """Begins to record a visit's webcam as a stream of this name. Raises as `Recording`."""
        with writing(self.database) as session:
            ensemble_id, _ = current(session, self.settings.models_dir)
        # The visit may have begun with networks that are out of use now, and the rows name those in use.
        self.watches[token].analyser = self.analyser()[0]
        recording = Recording(self.database, ensemble_id, name, self.settings.detection_threshold)
        self.recordings[token] = recording
        self.watches[token].record = recording.add

    def end_recording(self, token: str) -> None:
        """Ends a visit's recording, if there is one."""
        if watch := self.watches.get(token):
            watch.record = None
        if recording := self.recordings.pop(token, None):
            recording.stop()

    def close(self) -> None:
        """Ends the work, writes what was recorded, and deletes the uploads that were not submitted."""
        self._is_closing.set()
        recordings = list(self.recordings.values())
        for token in list(self.recordings):
            self.end_recording(token)
        for recording in recordings:
            recording.join()
        self.uploads.close()
        if self._analyser:
            self._analyser.close()
        self.database.dispose()


def _uploads(settings: Settings) -> Uploads:
    try:
        return Uploads(expanded(settings.uploads_dir, "FER_UPLOADS_DIR"))
    except OSError as error:
        raise WebError(
            f"Uploads cannot be written to {settings.uploads_dir} ({error.strerror}); set FER_UPLOADS_DIR to a folder."
        ) from error


_server: Server | None = None


def open_server(settings: Settings, *, is_private: bool) -> Server:
    """The server of this process; pages and routes find it with `this_server`."""
    global _server
    _server = Server(settings, is_private=is_private)
    return _server


def this_server() -> Server:
    """The server of this process. Raises `WebError` before `open_server`."""
    if _server is None:
        raise WebError("The page runs with `fer-batch web` only.")
    return _server
