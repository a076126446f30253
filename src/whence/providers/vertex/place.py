"""Where a model of Vertex AI is asked, and what it is called there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from whence.providers.errors import InputError
from whence.providers.options import split_url

GOOGLE = "aiplatform.googleapis.com"
MULTI_REGIONS = ("us", "eu")


@dataclass(frozen=True, kw_only=True)
class Place:
    """`url`: without a slash at its end. `target`: host:port. `secure`: by TLS."""

    url: str
    target: str
    secure: bool


def place_of(endpoint: str | None, location: str) -> Place:
    """Google's own place for a location, or the endpoint: a URL, or host:port, which is asked by TLS.

    http:// is for this machine alone, for what is sent holds the record and a token of the whole project.
    Raises InputError.
    """
    if not re.fullmatch(r"[a-z0-9-]+", location):  # it becomes part of the host's name
        raise InputError(f"location {location!r}: write a region of Google Cloud, such as europe-west4")
    url = endpoint or f"https://{_google(location)}"
    parts = split_url("endpoint", url if "://" in url else f"https://{url}")
    secure, port = parts.scheme == "https", parts.port
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    return Place(
        url=f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}",
        target=f"{host}:{port or (443 if secure else 80)}",
        secure=secure,
    )


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model at its place. `resource`: its full name."""

    name: str
    resource: str
    project: str
    location: str
    place: Place


def resource_of(model: str, *, project: str, location: str) -> str:
    """The full name of a model: one of Google's, another publisher's, or an endpoint of the project."""
    if model.startswith("projects/"):
        return model
    name = model if model.startswith("publishers/") else f"publishers/google/models/{model}"
    return f"projects/{project}/locations/{location}/{name}"


def require_names(model: str, project: str | None) -> None:
    """Raise InputError for names that would lead elsewhere: they become parts of a URL."""
    if not re.fullmatch(r"[\w@:.-]+(/[\w@:.-]+)*", model, re.ASCII) or ".." in model:
        raise InputError(f"model {model!r}: write its name, such as vertex:gemini-2.5-flash")
    if project is not None and not re.fullmatch(r"[a-z0-9:.-]+", project):
        raise InputError(f"project {project!r}: write the id of a project of Google Cloud")


def _google(location: str) -> str:
    if location == "global":
        return GOOGLE
    return (
        f"aiplatform.{location}.rep.googleapis.com" if location in MULTI_REGIONS else f"{location}-{GOOGLE}"
    )
