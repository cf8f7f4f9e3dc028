"""Logins of sources: from the database, or from the environment of the worker."""

import re
from collections.abc import Mapping

from results.streams import Login

PASSWORD = "FER_STREAM_PASSWORD_"
"""The environment variable of this name and the stream's (`password_variable`) is its password."""


def login_of(name: str, stored: Login | None, environment: Mapping[str, str]) -> Login | None:
    """The login of a stream; a password in this worker's environment has precedence over the stored one."""
    password = environment.get(password_variable(name))
    if password is None:
        return stored
    return Login(stored.username if stored else "", password)


def password_variable(name: str) -> str:
    """The environment variable with the password of a stream: its name in capitals, other characters as `_`."""
    return PASSWORD + re.sub(r"[^A-Z0-9]", "_", name.upper())
