"""What the whole server shares: settings, one database, and one set of networks, loaded once."""

from functools import cached_property
from threading import Lock

from sqlalchemy import Engine as Database

from fer_model.analysis.analyser import Analyser
from fer_model.engines import load_engine
from fer_model.networks.manifest import ModelSet
from results.database import connect, prepare, reading
from web.errors import WebError
from workers.models.store import in_use
from workers.settings import Settings, writable_cache


class Server:
    """The state of the process that serves the page. Every method may be called by any thread."""

    def __init__(self, settings: Settings, *, is_private: bool = True) -> None:
        self.settings = settings
        self.is_private = is_private
        """Whether it listens at the loopback interface alone."""
        self._lock = Lock()
        self._models: ModelSet | None = None
        self._analyser: Analyser | None = None

    @cached_property
    def database(self) -> Database:
        """The database, whose tables are there."""
        prepare(self.settings.database_url)
        return connect(self.settings.database_url)

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
                engine = load_engine(models, self.settings.device, writable_cache(self.settings.cache_dir))
                # Pages that use the earlier one may be in the middle of a picture: it ends when they let go of it.
                self._analyser, self._models = Analyser(engine, models), models
            return self._analyser, self._models


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
