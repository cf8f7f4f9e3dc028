"""Packages that only some installations have, and the extra of `fer-batch` that brings each."""

from importlib.util import find_spec

from fer_model.errors import FerModelError

EXTRAS = {
    "aiohttp": "s3",
    "aiortc": "web",
    "botocore": "s3",
    "fvcore": "train",
    "matplotlib": "train",
    "psycopg": "postgres",
    "s3fs": "s3",
    "scipy": "train",
    "streamlit": "web",
    "streamlit_webrtc": "web",
    "torch": "train",
    "torchvision": "train",
    "ultralytics": "train",
}


def require(package: str, use: str) -> None:
    """Raises `FerModelError` if a package is not installed, with the command that installs its extra."""
    if find_spec(package) is None:
        raise FerModelError(_sentence(use, package))


def missing(error: Exception) -> str | None:
    """One sentence if an import failed because an extra is not installed, with the command that installs it."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return _sentence("This", package) if package in EXTRAS else None


def _sentence(use: str, package: str) -> str:
    # The extra is what users install; its packages may be those of other packages, as aiohttp of s3fs.
    extra = EXTRAS[package]
    return f"{use} needs the extra {extra}, which is not installed: pip install 'fer-batch[{extra}]'"
