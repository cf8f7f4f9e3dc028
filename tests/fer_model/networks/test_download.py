"""Downloads from a real server that breaks connections, loses files, sends wrong data and refuses."""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_model.digests import digest, matches
from fer_model.errors import DownloadError
from fer_model.networks.download import ATTEMPTS, PIECE, downloaded
from tests.support.servers import FileServer, serving

CONTENT = os.urandom(300_000)
PROMISED = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer({"/weights.bin": CONTENT})) as running:
        yield running


def fetch(server: FileServer, folder: Path, promised: str | None = PROMISED, name: str = "weights.bin") -> bytes:
    with downloaded(f"{server.url}/{name}", folder / name, promised, wait_s=0.01) as target:
        return target.read_bytes()


def test_a_file_arrives_with_its_progress(server: FileServer, tmp_path: Path) -> None:
    reports: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "weights.bin"
    with downloaded(f"{server.url}/weights.bin", target, PROMISED, lambda *sizes: reports.append(sizes)) as whole:
        assert whole == target and target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == []
    assert reports[-1] == (len(CONTENT), len(CONTENT))


def test_a_broken_download_goes_on_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [10 * PIECE + 1]
    assert fetch(server, tmp_path) == CONTENT
    assert [requested for _, requested in server.requests] == [None, f"bytes={10 * PIECE}-"]


def test_the_next_call_goes_on_too(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [PIECE] * ATTEMPTS
    with pytest.raises(DownloadError, match=f"the connection broke {ATTEMPTS} times; the next call goes on"):
        fetch(server, tmp_path)
    assert (tmp_path / "weights.bin").stat().st_size == PIECE * ATTEMPTS
    assert fetch(server, tmp_path) == CONTENT
    assert server.requests[-1][1] == f"bytes={PIECE * ATTEMPTS}-"


def test_a_server_without_ranges_starts_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [10 * PIECE + 1]
    assert fetch(server, tmp_path) == CONTENT
    assert server.requests[-1][1] == f"bytes={10 * PIECE}-"


@pytest.mark.parametrize("extra", [b"", b"more than there is"])
def test_what_is_whole_or_too_long_already_is_recognised(server: FileServer, tmp_path: Path, extra: bytes) -> None:
    (tmp_path / "weights.bin").write_bytes(CONTENT + extra)
    assert fetch(server, tmp_path) == CONTENT
    assert len(server.requests) == (2 if extra else 1)


def test_other_bytes_than_promised_are_deleted(server: FileServer, tmp_path: Path) -> None:
    server.files["/weights.bin"] = CONTENT[:-1] + b"?"
    with pytest.raises(DownloadError, match="is not the file that was promised"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_not_asked_for_again(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"nothing\.bin: there is no such file \(404\)"):
        fetch(server, tmp_path, name="nothing.bin")
    assert len(server.requests) == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [403, 416])
def test_a_server_that_refuses_is_quoted(server: FileServer, tmp_path: Path, status: int) -> None:
    server.failures = [status]
    with pytest.raises(DownloadError, match=rf"the server refused \({status} "):
        fetch(server, tmp_path)


def test_a_server_in_trouble_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.failures = [503, 429, 500]
    assert fetch(server, tmp_path) == CONTENT
    server.failures = [503] * ATTEMPTS
    with pytest.raises(DownloadError, match="the server answered 503"):
        fetch(server, tmp_path, name="weights.bin")


def test_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    unreachable = FileServer({}, url="http://127.0.0.1:1")
    with pytest.raises(DownloadError, match=r"could not be downloaded \(the server cannot be reached\)"):
        fetch(unreachable, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"weights\.bin\: cannot be written \(No space left"):
        fetch(server, tmp_path)


def test_two_at_once_do_not_mix(server: FileServer, tmp_path: Path) -> None:
    with (tmp_path / "weights.bin").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process is downloading this"):
            fetch(server, tmp_path)


def test_no_other_process_has_it_before_it_is_used(server: FileServer, tmp_path: Path) -> None:
    with downloaded(f"{server.url}/weights.bin", tmp_path / "weights.bin", PROMISED) as whole:
        with pytest.raises(DownloadError, match="another process is downloading this"):
            fetch(server, tmp_path)
        assert whole.read_bytes() == CONTENT
        whole.unlink()
    assert list(tmp_path.iterdir()) == []


def test_without_a_promise_it_begins_again(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [PIECE] * ATTEMPTS
    with pytest.raises(DownloadError, match=rf"the connection broke {ATTEMPTS} times\)$"):
        fetch(server, tmp_path, promised=None)
    server.files["/weights.bin"] = other = CONTENT[::-1]
    assert fetch(server, tmp_path, promised=None) == other, "nothing of the old one"
    assert {requested for _, requested in server.requests} == {None}


def test_a_git_digest_is_what_git_says(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(CONTENT)
    git_id = subprocess.run(["git", "hash-object", "--no-filters", path], capture_output=True, text=True).stdout.strip()
    assert digest(path, "git") == git_id and matches(path, f"git:{git_id}") and matches(path, PROMISED)
    assert not matches(path, f"git:{'0' * 40}")
