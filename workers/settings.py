"""The settings. Entry points (a command, a worker process, a page, a test) create them and pass them down."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from results.streams import QUEUE as STREAM_QUEUE
from workers.errors import WorkersError


class Settings(BaseSettings):
    """All settings. Each field is read from the environment variable `FER_` plus its name in capitals.

    A keyword argument takes precedence over the environment. Raises `pydantic.ValidationError`.
    """

    model_config = SettingsConfigDict(env_prefix="FER_", env_ignore_empty=True, frozen=True)

    database_url: str = Field("sqlite:///fer-batch.db", description="where results go")
    broker_url: str = Field("redis://localhost:6379/0", description="the Redis server that holds the queue")
    queues: str = Field("batch", description="queues a worker serves, by commas; `submit` uses the first")
    device: str = Field("auto", description="where networks run: auto, cpu, cuda:0")
    detection_threshold: float = Field(0.4, gt=0, lt=1, description="lowest score that counts as a face")
    lease_seconds: float = Field(
        60.0, ge=2, description="a worker without a heartbeat for so long loses its shard to another"
    )
    shard_timeout_seconds: float = Field(
        600.0, ge=1, description="longest that one shard may take; it is tried three times"
    )
    grace_seconds: float = Field(
        8.0, ge=0, description="how long a worker that shuts down goes on with its shard before it requeues it"
    )
    models_dir: Path = Field(
        Path("~/.local/share/fer-batch"),
        description="trained and pulled weights and training runs, shared by all workers; "
        "a manifest.json in it replaces the models shipped",
    )
    registry_url: str = Field("https://raw.githubusercontent.com", description="where `models pull` downloads from")
    media_roots: str | None = Field(
        None,
        description="what media must lie below, by commas: folders, s3://BUCKET/PREFIX/, https://HOST/; "
        "not set: anything but servers at inner addresses",
    )
    crops_roots: str | None = Field(
        None, description="what folders of face crops (--keep-crops) must lie below, by commas; not set: anywhere"
    )
    faces_mode: str = Field(
        "0600",
        pattern="^0?[0-7]{3}$",
        description="permissions of face crops and annotated media; 0640 lets the group read them",
    )
    retention_days: float | None = Field(
        None, ge=0, le=36_500, description="jobs that ended so many days ago are deleted by the workers; not set: never"
    )
    cache_dir: Path = Field(Path("~/.cache/fer-batch"), description="compiled networks; may be deleted")
    metrics_port: int = Field(0, ge=0, le=65535, description="where a worker serves figures for Prometheus; 0: nowhere")
    metrics_address: str = Field("127.0.0.1", description="the address of this machine at which it serves them")
    log_json: bool = Field(False, description="a worker's log has one JSON object a line")
    quiet: bool = Field(False, description="a worker logs warnings and errors alone; commands show no progress")
    notify_secret: SecretStr | None = Field(None, description="the key with which workers sign what they post")
    uploads_dir: Path = Field(
        Path("~/.local/share/fer-batch/uploads"), description="where the web page puts what visitors upload"
    )
    web_password: SecretStr | None = Field(None, description="the password of the web page")
    web_proxy_header: SecretStr | None = Field(
        None, description="NAME: SECRET, a header with which a proxy that knows the visitor opens the web page"
    )
    flower_auth: SecretStr | None = Field(None, description="USER:PASSWORD, which Flower requires")

    @property
    def served_queues(self) -> list[str]:
        """The queues that a worker serves."""
        return [queue.strip() for queue in self.queues.split(",") if queue.strip()]

    @property
    def submit_queue(self) -> str:
        """The queue that new jobs get: the first served, but never that of streams."""
        return next((queue for queue in self.served_queues if queue != STREAM_QUEUE), "batch")

    @property
    def permitted_roots(self) -> tuple[str, ...]:
        """Where media must lie (see `check_permitted`); empty if they may lie anywhere."""
        return _listed(self.media_roots)

    @property
    def permitted_crops(self) -> tuple[str, ...]:
        """Where crops of faces may be kept and deleted; empty if they may lie anywhere."""
        return _listed(self.crops_roots)

    @property
    def mode_of_faces(self) -> int:
        """The permissions of files that show faces."""
        return int(self.faces_mode, 8)

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        for name, value in self:
            yield name, mask(value) if isinstance(value, str) else value

    def as_environment(self) -> dict[str, str]:
        """The variables from which a child process reads the same settings."""
        return {f"FER_{name.upper()}": _plain(value) for name, value in self}


def _listed(folders: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in (folders or "").split(",") if each.strip())


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    # An empty variable counts as not set.
    return "" if value is None else str(value)


def expanded(folder: Path, setting: str) -> Path:
    """The folder with `~` replaced. Raises `WorkersError`, which names the setting, for a user without a home."""
    try:
        return folder.expanduser()
    except RuntimeError as error:
        raise WorkersError(f"There is no home directory for {folder}; set {setting} to another folder.") from error


def writable_cache(cache_dir: Path) -> Path:
    """The cache folder, created if it is not there. Raises `WorkersError` if it cannot be written to."""
    try:
        folder = expanded(cache_dir, "FER_CACHE_DIR")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise WorkersError(
            f"The cache folder {cache_dir} cannot be written to ({error}); set FER_CACHE_DIR to another."
        ) from error


def cache_if_writable(cache_dir: Path) -> Path | None:
    """As `writable_cache`, but None where that raises: for work that is only slower without a cache."""
    try:
        return writable_cache(cache_dir)
    except WorkersError:
        return None


def mask(url: str) -> str:
    """A URL with its passwords hidden, for messages."""
    url = re.sub(r"([?&][a-z_]*password=)[^&;]*", r"\1***", url, flags=re.IGNORECASE)
    head, at, tail = url.rpartition("@")
    scheme, slashes, login = head.partition("://")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}{':***' if colon else ''}@{tail}" if at else url
