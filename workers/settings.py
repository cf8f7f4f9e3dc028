"""All settings, from the environment; the command line writes its options there before they are read."""

import tempfile
from functools import cache
from pathlib import Path

from pydantic import Field
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
    models_dir: Path = Field(
        Path("~/.local/share/fer-batch"),
        description="trained and pulled weights and training runs, shared by all workers; "
        "a manifest.json in it replaces the models shipped",
    )
    registry_url: str = Field("https://raw.githubusercontent.com", description="where `models pull` downloads from")
    cache_dir: Path = Field(Path("~/.cache/fer-batch"), description="compiled networks; may be deleted")


@cache
def settings() -> Settings:
    """The settings of this process. Raises `pydantic.ValidationError`."""
    return Settings()


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
