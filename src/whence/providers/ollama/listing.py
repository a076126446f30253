"""What an Ollama holds, and how much of each model can be seen here."""

from __future__ import annotations

import anyio

from whence.providers.errors import WhenceError
from whence.providers.listing import ListedModel, Listing
from whence.providers.ollama.place import place_of
from whence.providers.ollama.survey import Options, survey
from whence.providers.ollama.wire import Held, Wire

TIMEOUT_SECONDS = 30.0
AT_ONCE = 4


async def listing(*, host: str | None = None, api_key: str | None = None) -> Listing:
    """Each model of the Ollama at `host`; where None, of OLLAMA_HOST, else of this machine.

    No weights are loaded. Raises InputError, ProviderError where there is no Ollama.
    """
    wire = Wire(place_of(host, insecure=False), api_key=api_key, timeout_seconds=TIMEOUT_SECONDS)
    version = await wire.version()
    held = await wire.held()
    found: dict[str, ListedModel] = {}
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def one(model: Held) -> None:
        async with limit:
            found[model.name] = await _listed(wire, model, version)

    async with anyio.create_task_group() as group:
        for model in held:
            group.start_soon(one, model)
    return Listing(
        where=f"Ollama {version} at {wire.place.url}", models=[found[model.name] for model in held]
    )


async def _listed(wire: Wire, held: Held, version: str) -> ListedModel:
    try:
        seen = await survey(wire, held, version, Options())
    except WhenceError as error:
        return ListedModel(name=f"ollama:{held.name}", access=None, why=str(error))
    reasons = [seen.no_weights, (seen.access == "text" and seen.no_scores) or ""]
    return ListedModel(name=f"ollama:{held.name}", access=seen.access, why="; ".join(filter(None, reasons)))
