"""Who is taken for a visitor on this machine, who may name any file of it."""

from pathlib import Path
from typing import Any

import pytest

from web.app import make_app
from web.server import this_server
from workers.settings import Settings

PROXY = {"web_proxy_header": "X-Gate: 0123456789abcdef"}
PASSWORD = {"web_password": "open sesame"}


@pytest.mark.parametrize(
    ("given", "address", "may"),
    [
        ({}, "127.0.0.1", True),
        ({}, "localhost", True),
        # As docs/how-to/web.md sets a proxy up: it stands on the same machine, its visitors do not.
        (PROXY, "127.0.0.1", False),
        (PASSWORD, "127.0.0.1", False),
        (PASSWORD, "0.0.0.0", False),
        (PASSWORD | {"media_roots": "/srv/media"}, "0.0.0.0", True),
    ],
)
def test_a_page_with_a_lock_is_for_others_wherever_it_listens(
    given: dict[str, Any], address: str, may: bool, tmp_path: Path
) -> None:
    here = {"database_url": f"sqlite:///{tmp_path / 'results.db'}", "uploads_dir": tmp_path / "uploads"}
    make_app(Settings.model_validate(given | here), address, on_ready=lambda: None)
    server = this_server()
    assert server.may_submit_paths is may
    server.close()
