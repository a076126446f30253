"""What adapters of APIs are made with, held to what it can be before anything is asked."""

from __future__ import annotations

import re
from ipaddress import ip_address
from math import inf
from typing import TypeGuard
from urllib.parse import SplitResult, urlsplit

from whence.providers.errors import InputError


def require_texts(**options: object) -> None:
    """Raise InputError where one is neither a text nor None; what it is, may be a key, and is not shown."""
    for name, value in options.items():
        if value is not None and not isinstance(value, str):
            raise InputError(f"{name} is {type(value).__name__}; give a text")


def require_limits(*, max_in_flight: object, **seconds: object) -> None:
    """Raise InputError for limits of calls that are none."""
    if isinstance(max_in_flight, bool) or not isinstance(max_in_flight, int) or max_in_flight < 1:
        raise InputError(f"max_in_flight={max_in_flight!r}: it is a whole number, 1 or greater")
    for name, value in seconds.items():
        if not _is_number(value) or not 0 < value < inf:
            raise InputError(f"{name}={value!r}: it is a number of seconds, greater than 0 and finite")


def require_temperature(temperature: object, *, most: float) -> None:
    """Raise InputError where it is none."""
    if not _is_number(temperature) or not 0 <= temperature <= most:
        raise InputError(f"temperature={temperature!r}: it is a number from 0 to {most:g}")


def split_url(name: str, url: str, *, insecure: bool = False) -> SplitResult:
    """The parts of https://HOST[:PORT][/PATH], or of http:// on this machine; `name`: of the option.

    http:// is for this machine alone, for what is sent holds the record and a key or token, unless the caller
    takes that upon himself (`insecure`). Raises InputError.
    """
    told = f"{name} {_shown(url)!r}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    plain = parts.username is None and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not plain:
        raise InputError(f"{told}: write https://HOST or https://HOST:PORT, with no user, query or fragment")
    if parts.scheme == "http" and not insecure and not on_this_machine(parts.hostname):
        raise InputError(
            f"{told}: the record and a key or token would cross the network in the clear; write https://, "
            "as http:// is for addresses of this machine (127.0.0.1, localhost)"
        )
    return parts


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(url: str) -> str:
    """Without what may be secret in it: a user with a password, and a query."""
    return re.split("[?#]", url.rpartition("@")[2])[0]


def on_this_machine(host: str) -> bool:
    """Whether that is the loopback interface."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
