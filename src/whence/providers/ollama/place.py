"""Where an Ollama listens, and how its models are called."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from whence.providers.errors import InputError
from whence.providers.options import on_this_machine, split_url

HOST = "OLLAMA_HOST"
PORT = 11434
ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  what a server listens on, not asked itself
PORTS = {"http": 80, "https": 443}
CLOUD = re.compile(r"[:-]cloud$", re.IGNORECASE)
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")


@dataclass(frozen=True, kw_only=True)
class Place:
    """`url`: http://HOST:PORT, without a slash at its end. `here`: whether that is this machine."""

    url: str
    here: bool


@dataclass(frozen=True, kw_only=True)
class Name:
    """A model's whole name. It is the path of its manifest, so that no part may lead elsewhere."""

    host: str = "registry.ollama.ai"
    namespace: str = "library"
    model: str
    tag: str = "latest"

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders of the manifest, and its file."""
        return self.host, self.namespace, self.model, self.tag


def place_of(host: str | None, *, insecure: bool) -> Place:
    """From `host`, or OLLAMA_HOST, or this machine: HOST, HOST:PORT, or a URL, as Ollama itself reads it.

    Raises InputError.
    """
    given = (host or os.environ.get(HOST) or "127.0.0.1").strip()
    scheme, _, rest = given.rpartition("://")
    address, slash, path = rest.partition("/")
    if address.count(":") > 1 and not {"[", "@"} & set(address):  # IPv6 by itself
        address = f"[{address}]"
    elif address.startswith(":"):
        address = f"127.0.0.1{address}"
    for anywhere, own in ANYWHERE.items():
        if address == anywhere or address.startswith(f"{anywhere}:"):
            address = own + address[len(anywhere) :]
    parts = split_url("host", f"{scheme or 'http'}://{address}{slash}{path}", insecure=insecure)
    port = parts.port or PORTS.get(scheme, PORT)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    url = f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}"
    return Place(url=url, here=on_this_machine(urlsplit(url).hostname or ""))


def name_of(model: str) -> Name:
    """The whole name: of `NAME`, `NAME:TAG`, `NAMESPACE/NAME`, `HOST/NAMESPACE/NAME:TAG`.

    As Ollama's types/model/name.go. Raises InputError.
    """
    path, colon, tag = model.rpartition(":") if model.rfind(":") > model.rfind("/") else (model, "", "")
    given = dict(zip(("model", "namespace", "host"), reversed(path.split("/")), strict=False))
    given |= {"tag": tag} if colon else {}
    known = Name(**{field.name: given.get(field.name) or field.default for field in fields(Name)})  # type: ignore[arg-type]
    if path.count("/") > 2 or not all(given.values()) or not all(map(PART.fullmatch, known.parts)):
        raise InputError(
            f"{model!r} is no name of a model: write NAME, NAME:TAG or HOST/NAMESPACE/NAME:TAG, as "
            "'ollama list' shows it"
        )
    return known


def same(one: str, other: str) -> bool:
    """Whether two names are of one model: Ollama does not tell their cases apart."""
    try:
        parts = [[part.lower() for part in name_of(name).parts] for name in (one, other)]
    except InputError:  # of a server's list, which may hold anything
        return False
    return parts[0] == parts[1]


def require_local(model: str, remote_host: str | None = None) -> None:
    """Raise InputError for a model that Ollama would ask its own cloud for, with all that it is told."""
    if remote_host or CLOUD.search(model):
        raise InputError(
            f"{model} runs in Ollama's cloud, to which the record would be sent; take a model that this "
            "Ollama runs itself"
        )
