"""A virtual environment where Python came without `ensurepip`, from a package index on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parent.parent / "tools" / "bootstrap_pip.py"


@pytest.fixture
def wheel() -> Path:
    """The wheel of pip that Python itself carries."""
    package = find_spec("ensurepip")
    found = sorted(Path(package.origin).parent.glob("_bundled/pip-*.whl")) if package and package.origin else []
    if not found:
        pytest.skip("this Python carries no wheel of pip")
    return found[0]


@pytest.fixture
def index(wheel: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A package index with an old, a withdrawn and the real wheel; a test may ask for a wrong hash."""
    content = wheel.read_bytes()
    digest = "0" * 64 if getattr(request, "param", "") == "wrong" else hashlib.sha256(content).hexdigest()
    files = [
        {"filename": "pip-1.0-py3-none-any.whl", "url": "missing.whl", "hashes": {}},
        {"filename": "pip-999.0-py3-none-any.whl", "url": "missing.whl", "hashes": {}, "yanked": True},
        {"filename": wheel.name, "url": f"../files/{wheel.name}", "hashes": {"sha256": digest}, "yanked": False},
    ]
    pages = {"/simple/pip/": json.dumps({"files": files}).encode(), f"/simple/files/{wheel.name}": content}

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in pages else 404)
            self.end_headers()
            self.wfile.write(pages.get(self.path, b""))

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/simple"
    server.shutdown()
    thread.join()
    server.server_close()


def bootstrap(folder: Path, index: str) -> "subprocess.CompletedProcess[str]":
    """Runs the tool in a new environment without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    environment = {**os.environ, "PIP_INDEX_URL": index}
    return subprocess.run([folder / "bin" / "python", TOOL], env=environment, capture_output=True, text=True)


def test_pip_is_installed_from_the_index(index: str, wheel: Path, tmp_path: Path) -> None:
    run = bootstrap(tmp_path / "venv", index)
    assert run.returncode == 0, run.stderr
    version = subprocess.run([tmp_path / "venv" / "bin" / "pip", "--version"], capture_output=True, text=True).stdout
    assert version.split()[1] == wheel.name.split("-")[1]


@pytest.mark.parametrize("index", ["wrong"], indirect=True)
def test_a_wheel_with_another_hash_is_refused(index: str, tmp_path: Path) -> None:
    run = bootstrap(tmp_path / "venv", index)
    assert run.returncode == 1 and "not the one" in run.stderr
    assert not (tmp_path / "venv" / "bin" / "pip").exists()
