"""The servers that `fer-batch run` starts and stops."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from workers.errors import LocalStackError
from workers.queue.local_stack import local_redis, redis_server, stack_folder


def test_redis_answers_on_a_private_socket_and_is_gone_afterwards() -> None:
    with stack_folder() as folder:
        with local_redis(folder) as url:
            assert url == f"redis+socket://{folder}/redis.sock"
            client = redis.Redis(unix_socket_path=str(folder / "redis.sock"))
            assert client.ping()
            assert client.config_get("port") == {"port": "0"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            process = client.info("server")["process_id"]
            client.close()
        assert not Path(f"/proc/{process}").exists()
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_redis_stops_when_the_program_fails() -> None:
    process = 0

    def fail() -> None:
        nonlocal process
        with stack_folder() as folder, local_redis(folder):
            client = redis.Redis(unix_socket_path=str(folder / "redis.sock"))
            process = client.info("server")["process_id"]
            client.close()
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert not Path(f"/proc/{process}").exists()


def test_a_redis_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "redis.sock").mkdir()
    with pytest.raises(LocalStackError, match=r"did not start.*socket"), local_redis(tmp_path):
        pass


def test_without_any_redis_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("workers.queue.local_stack.find_spec", lambda name: None)
    with pytest.raises(LocalStackError, match="apt install redis-server"):
        redis_server()


def test_a_server_on_the_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "redis-server"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_server() == own


def test_submitting_needs_no_network_library() -> None:
    """A program that only queues work must not load torch and OpenVINO."""
    heavy = ("torch", "openvino", "ultralytics")
    program = f"import sys, workers.batch.submitting; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
