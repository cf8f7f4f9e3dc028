"""The pages, or parts of them, run as Streamlit runs them but without a browser."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database
from streamlit.testing.v1 import AppTest

from web.server import Server, open_server
from workers.settings import Settings


@contextmanager
def scripted_server(database: Database, folder: Path, **given: Any) -> Iterator[Server]:
    """The server that the pages ask; `given` are further settings."""
    url = database.url.render_as_string(hide_password=False)
    server = open_server(Settings(database_url=url, uploads_dir=folder / "uploads", **given), is_private=True)
    yield server
    server.uploads.close()
    server.database.dispose()


def scripted(script: Callable[[], None]) -> AppTest:
    """What a script draws, which imports what it needs itself."""
    app = AppTest.from_function(script, default_timeout=60).run()
    assert not app.exception, app.exception
    return app
