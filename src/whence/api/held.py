"""The models that a provider holds, as a table."""

from __future__ import annotations

import anyio
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from whence.explain.render.visible import visible
from whence.providers.errors import WhenceError
from whence.providers.listing import Listing
from whence.providers.registry import Entry, load_attribute


def held_models(name: str, entry: Entry) -> RenderableType:
    """A table of them, or a line with the reason why there is none."""
    try:
        listing: Listing = anyio.run(load_attribute(entry, entry.listing))
    except WhenceError as error:
        return Text(f"{name}: {visible(str(error))}")
    if not listing.models:
        return Text(f"{visible(listing.where)} holds no model")
    table = Table(f"{visible(listing.where)} holds", "access", "why not more", box=None, header_style="bold")
    for model in listing.models:
        table.add_row(Text(visible(model.name)), model.access or "none", Text(visible(model.why)))
    return table
