"""How Celery imports modules: from where Python is installed, never from the current folder."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from celery.loaders.app import AppLoader


class Loader(AppLoader):  # type: ignore[misc]
    """Celery's loader without its habit of putting the current folder first on `sys.path` during an import.

    A child process of a worker imports everything anew. A file `results.py` or `redis.py` in the folder where the
    worker was started would be executed in place of ours.
    """

    deaths_at_birth: str | None = None
    """Why the worker gave up its children, if it did; see `workers.queue.pool`."""

    def import_from_cwd(
        self, module: str, imp: Callable[..., ModuleType] | None = None, package: str | None = None
    ) -> Any:
        return (imp or self.import_module)(module, package=package)

    def on_worker_process_init(self) -> None:
        """Imports what shards need in a child alone: the main process needs none of it.

        At birth, because the time of the first shard is limited. A child that cannot import it dies.
        """
        self.import_module("workers.batch.processing")
        # Celery does it after it has set up the log, whose form is a setting of the application.
        self.app.set_current()
