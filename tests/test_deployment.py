"""The Compose file and the Dockerfile, as far as they can be checked without Docker."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SECRETS = {"REDIS_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD"}

each_service = pytest.mark.parametrize("name", SERVICES)


def words(command: list[str]) -> str:
    """A command as one line."""
    return " ".join(command)


def copied() -> list[str]:
    """What the Dockerfile copies from the checkout."""
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE, flags=re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@each_service
def test_every_service_has_a_health_check_and_comes_back(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL") and len(check["test"]) > 1
    assert {"interval", "timeout", "retries"} <= set(check)
    assert SERVICES[name]["restart"] == "unless-stopped"


@each_service
def test_ports_are_published_on_this_machine_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_secrets_are_demanded_and_never_written_down() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for variable in SECRETS | {"MEDIA_DIR"}:
        uses = re.findall(rf"\$\{{{variable}[^}}]*\}}", text)
        assert uses and all(use.startswith(f"${{{variable}:?") for use in uses), variable


def test_the_example_names_every_variable_and_no_secret() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    assert set(example) == used
    assert not any(example[name] for name in SECRETS)


def test_redis_keeps_its_queue_and_asks_for_a_password() -> None:
    command = words(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--requirepass ${REDIS_PASSWORD:?" in command
    assert "redis:/data" in SERVICES["redis"]["volumes"]


def test_postgresql_keeps_its_data() -> None:
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_flower_asks_for_a_password() -> None:
    assert words(SERVICES["flower"]["entrypoint"]).startswith("celery --app workers.app flower")
    assert "${FLOWER_PASSWORD:?" in SERVICES["flower"]["environment"]["FLOWER_BASIC_AUTH"]


def test_the_worker_on_a_gpu_is_the_default() -> None:
    devices = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert "profiles" not in SERVICES["worker-gpu"]
    assert SERVICES["worker-cpu"]["profiles"] == ["cpu"]
    assert SERVICES["worker-cpu"]["environment"]["FER_DEVICE"] == "cpu"


@pytest.mark.parametrize("name", ["worker-gpu", "worker-cpu", "worker-train"])
def test_workers_cannot_write_to_the_media(name: str) -> None:
    media, *folders = SERVICES[name]["volumes"]
    assert media["read_only"] and media["source"] == media["target"]
    for folder, variable in zip(folders, ("FER_CACHE_DIR", "FER_MODELS_DIR"), strict=True):
        assert folder.partition(":")[2] == re.search(rf"{variable}=(\S+)", DOCKERFILE)[1]  # type: ignore[index]


def test_trainings_have_a_worker_of_their_own() -> None:
    assert SERVICES["worker-train"]["profiles"] == ["train"]
    assert words(SERVICES["worker-train"]["command"]).endswith("--queues train")


@pytest.mark.parametrize("name", ["worker-gpu", "worker-cpu", "worker-train"])
def test_the_health_check_asks_the_worker_by_its_name(name: str) -> None:
    service = SERVICES[name]
    given = service["command"][service["command"].index("--name") + 1]
    assert f'"{given}@$$HOSTNAME"' in words(service["healthcheck"]["test"])
    assert f'CMD ["worker", "--name", "{given}"]' in DOCKERFILE
    assert f'"{given}@$HOSTNAME"' in DOCKERFILE


def test_volumes_that_are_used_are_declared() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert {mount.partition(":")[0] for mount in mounts if isinstance(mount, str)} == set(COMPOSE["volumes"])


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source


def test_the_image_holds_every_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "examples", "benchmarks"}
    assert packages <= set(copied())


def test_the_image_runs_unprivileged_on_the_oldest_supported_python() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.11"' in project and "FROM python:3.11-slim-bookworm" in DOCKERFILE
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, flags=re.MULTILINE)[-1] != "root"
    assert "HEALTHCHECK" in DOCKERFILE and "constraints.txt" in DOCKERFILE
    assert "apt-get" not in DOCKERFILE
