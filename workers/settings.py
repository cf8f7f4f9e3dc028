"""All settings, from the environment; the command line writes its options there before they are read."""

import tempfile
from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.errors import WorkersError


class Settings(BaseSettings):
    """What can be set. Each field is the environment variable `FER_` plus its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FER_", env_ignore_empty=True)

    database_url: str = Field("sqlite:///fer-batch.db", description="where results go")
    broker_url: str = Field("redis://localhost:6379/0", description="the Redis server that holds the queue")
    queues: str = Field("batch", description="queues a worker serves, by commas; `submit` uses the first")
    device: str = Field("auto", description="where networks run: auto, cpu, cuda:0")
    detection_threshold: float = Field(0.4, gt=0, lt=1, description="lowest score that counts as a face")
    lease_seconds: float = Field(
        60.0, ge=2, description="a worker that was not heard of for so long loses its shard to another"
    )
    shard_timeout_seconds: float = Field(
        600.0, ge=1, description="longest that one shard may take; it is tried three times"
    )
    grace_seconds: float = Field(
        8.0, ge=0, description="what a worker that is asked to stop takes to finish its shard; then it gives it back"
    )
    models_dir: Path = Field(
        Path("~/.local/share/fer-batch"),
        description="trained and pulled weights and training runs, shared by all workers; "
        "a manifest.json in it replaces the models shipped",
    )
    registry_url: str = Field("https://raw.githubusercontent.com", description="where `models pull` downloads from")
    media_roots: str | None = Field(
        None,
        description="what media must lie below, by commas: folders, s3://BUCKET/PREFIX/, https://HOST/; else anything",
    )
    retention_days: float | None = Field(
        None, ge=0, description="jobs that ended so many days ago are deleted by the workers; not set: never"
    )
    cache_dir: Path = Field(Path("~/.cache/fer-batch"), description="compiled networks; may be deleted")
    metrics_port: int = Field(0, ge=0, le=65535, description="where a worker serves figures for Prometheus; 0: nowhere")
    metrics_address: str = Field("127.0.0.1", description="the address of this machine at which it serves them")
    flower_auth: SecretStr | None = Field(None, description="USER:PASSWORD, which Flower asks for")


@cache
def settings() -> Settings:
    """The settings of this process. Raises `pydantic.ValidationError`."""
    return Settings()


def media_roots() -> tuple[str, ...]:
    """What media must lie below (see `check_permitted`); nothing, where they may lie anywhere."""
    return tuple(root.strip() for root in (settings().media_roots or "").split(",") if root.strip())


def writable_cache() -> Path:
    """The cache folder, made if it is not there. Raises `WorkersError` if nothing can be written to it."""
    try:
        folder = settings().cache_dir.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError) as error:
        raise WorkersError(
            f"The cache folder {settings().cache_dir} cannot be written to ({error}); set FER_CACHE_DIR to another."
        ) from error


def cache_if_writable() -> Path | None:
    """As `writable_cache`, for what only takes longer without one."""
    try:
        return writable_cache()
    except WorkersError:
        return None


def mask(url: str) -> str:
    """A URL with its password hidden."""
    head, at, tail = url.rpartition("@")
    scheme, slashes, login = head.partition("://")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}{':***' if colon else ''}@{tail}" if at else url
