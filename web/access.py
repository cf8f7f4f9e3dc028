"""Who may reach the page: checked before anything is served."""

from contextlib import suppress
from ipaddress import ip_address

from web.errors import WebError
from workers.settings import Settings

LEAST_SECRET = 16


def check_access(settings: Settings, address: str) -> None:
    """Raises `WebError` if others could reach `address` without a password, or if a setting is malformed."""
    if not (is_loopback(address) or settings.web_password or proxy_header(settings)):
        raise WebError(
            f"{address} can be reached by others; set FER_WEB_PASSWORD to a password for the page, "
            "or leave --address at 127.0.0.1."
        )


def is_private(settings: Settings, address: str) -> bool:
    """Whether all visitors are on this machine. A lock says that a proxy here may let in others."""
    return is_loopback(address) and not (settings.web_password or settings.web_proxy_header)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach what listens at an address."""
    with suppress(ValueError):
        return ip_address(address).is_loopback
    return address == "localhost"


def proxy_header(settings: Settings) -> tuple[str, str] | None:
    """The name and value of the header that a proxy adds. Raises `WebError` if FER_WEB_PROXY_HEADER is malformed."""
    if settings.web_proxy_header is None:
        return None
    name, _, value = settings.web_proxy_header.get_secret_value().partition(":")
    if not name.strip() or len(value.strip()) < LEAST_SECRET:
        raise WebError(f"FER_WEB_PROXY_HEADER must be NAME: SECRET, the secret of at least {LEAST_SECRET} characters.")
    return name.strip(), value.strip()
