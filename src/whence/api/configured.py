"""Models of a settings file, as the command line uses them: one by name, and all as a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from whence.explain.budget import Budget
from whence.explain.render.visible import visible
from whence.providers.base import Provider
from whence.providers.errors import MissingExtraError

if TYPE_CHECKING:
    from whence.api.service.settings import PriceSettings, Settings


@contextmanager
def server_extra() -> Iterator[None]:
    """What is imported inside needs the extra `server`. Raises MissingExtraError."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "whence":
            raise
        raise MissingExtraError("server", missing) from error


def choose(config: Path, name: str | None, asked: Budget | None) -> tuple[Provider, Budget | None]:
    """A model of a file, or its default, and what it may spend; nothing is asked of it.

    Raises InputError, UnknownModelError, UnknownProviderError, MissingExtraError.
    """
    settings = _load(config)
    chosen = settings.choose(name)
    return settings.make_provider(chosen), settings.models[chosen].limit(asked)


def table(config: Path) -> Table:
    """The models of a file. Raises InputError, MissingExtraError."""
    settings = _load(config)
    made = Table(
        "name", "provider", "per million tokens read, written", "budget", box=None, header_style="bold"
    )
    for name, model in settings.models.items():
        default = " (default)" if name == settings.default_model else ""
        made.add_row(
            f"{name}{default}",
            Text(visible(model.provider)),
            _priced(model.prices),
            "none" if model.budget is None else str(model.budget),
        )
    return made


def _load(config: Path) -> Settings:
    with server_extra():
        from whence.api.service.settings import load_settings
    return load_settings(config)


def _priced(prices: PriceSettings | None) -> str:
    if prices is None:
        return "no prices"
    return f"{prices.input_per_million:g}, {prices.output_per_million:g} {prices.currency}"
