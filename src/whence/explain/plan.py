"""What the provider can, compared with what the method needs."""

from __future__ import annotations

from dataclasses import dataclass

from whence.explain.methods import METHODS, Method, get_method
from whence.explain.result import Fallback
from whence.providers.base import Capabilities
from whence.providers.errors import UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A method, and those that `auto` passed over before it."""

    method: Method
    fallbacks: tuple[Fallback, ...] = ()


def choose(name: str, capabilities: Capabilities, *, provider: str) -> Choice:
    """The method of that name, or for `auto` the first that the provider can serve.

    Raises UnknownMethodError, or UnsupportedError which names what the provider can serve.
    """
    if name != "auto":
        method = get_method(name)
        reason = method.lacks(capabilities)
        if reason is not None:
            raise UnsupportedError(f"{name} {reason}. {provider} can serve: {_served(capabilities)}")
        return Choice(method=method)
    passed_over: list[Fallback] = []
    for candidate in METHODS:
        method = get_method(candidate)
        reason = method.lacks(capabilities)
        if reason is None:
            return Choice(method=method, fallbacks=tuple(passed_over))
        passed_over.append(Fallback(method=candidate, reason=reason))
    reasons = "; ".join(f"{item.method} {item.reason}" for item in passed_over)
    raise UnsupportedError(f"no method can explain {provider}: {reasons}")


def serves(capabilities: Capabilities) -> list[str]:
    """The names of the methods that a provider with these capabilities can serve."""
    return [name for name in METHODS if get_method(name).lacks(capabilities) is None]


def _served(capabilities: Capabilities) -> str:
    return ", ".join(serves(capabilities)) or "none"
