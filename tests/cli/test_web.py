"""The command `web` before it serves anything."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import fer_batch, only_sentence
from tests.support.servers import FileServer, serving


@pytest.mark.parametrize("address", ["0.0.0.0", "example.test"])
def test_other_addresses_need_a_password(address: str) -> None:
    run = fer_batch("web", "--address", address)
    assert run.returncode == 1
    assert only_sentence(run.stderr.splitlines()[-1]) == (
        f"{address} can be reached by others; set FER_WEB_PASSWORD to a password for the page, "
        "or leave --address at 127.0.0.1."
    )


def test_a_short_secret_of_a_proxy_is_refused(tmp_path: Path) -> None:
    run = fer_batch("web", "--db", f"sqlite:///{tmp_path}/results.db", FER_WEB_PROXY_HEADER="X-Gate: short")
    assert run.returncode == 1 and "of at least 16 characters" in only_sentence(run.stderr.splitlines()[-1])


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with serving(FileServer({})) as other:
        port = other.url.rpartition(":")[2]
        run = fer_batch("web", "--port", port, "--db", f"sqlite:///{tmp_path}/results.db")
    assert run.returncode == 1
    assert f"listens at port {port} already" in only_sentence(run.stderr) and "--port" in run.stderr


MISSING = "This needs the extra web, which is not installed: pip install 'fer-batch[web]'"


def test_without_the_extra_the_remedy_is_named() -> None:
    program = "import sys; sys.modules['streamlit'] = None\nfrom cli.main import main\nmain(['web'])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1
    assert only_sentence(run.stderr) == MISSING
