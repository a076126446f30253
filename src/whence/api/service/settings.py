"""What the service may use and how much of it: a TOML file, and `WHENCE_*` over it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from whence.explain.budget import Budget
from whence.providers.base import Prices, Provider
from whence.providers.errors import InputError, UnknownModelError
from whence.providers.registry import resolve

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
KeyHash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServerSettings(BaseModel):
    """The server itself: where it listens, who may ask, and its limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    default_model: ModelName | None = None
    allowed_hosts: tuple[str, ...] = ()
    api_keys: tuple[KeyHash, ...] = ()
    cors_origins: tuple[str, ...] = ()
    body_limit_bytes: PositiveInt = 8 * 1024 * 1024
    body_timeout_seconds: PositiveFloat = 30
    kept_explanations: int = Field(default=100, ge=0)
    kept_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    poll_seconds: PositiveFloat = 0.2
    shutdown_seconds: PositiveInt = 30
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if not self.api_keys and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines, so API keys are needed: make one with "
                "`whence key` and put its hash into server.api_keys, or listen on 127.0.0.1"
            )
        return self

    @property
    def hosts(self) -> frozenset[str]:
        """What a Host header may name, without its port, in lower case."""
        bound = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, bound, *self.allowed_hosts))


class PriceSettings(BaseModel):
    """What a million tokens cost; `currency`: ISO 4217."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input_per_million: NonNegativeFloat
    output_per_million: NonNegativeFloat
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class ModelSettings(BaseModel):
    """One model. Keys beyond these fields go to its adapter, as `options` do, and are not in the repr.

    `options`: for the adapter as they stand, also those whose names are fields here (`timeout_seconds`).
    `prices`: for the adapter. `budget`: of each explanation; who asks may lower it.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    provider: str
    preload: bool = True
    max_running: PositiveInt = 1
    max_waiting: int = Field(default=16, ge=0)
    timeout_seconds: PositiveFloat = 300
    budget: Budget | None = None
    prices: PriceSettings | None = None
    options: dict[str, Any] = Field(default={}, repr=False)

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        if "prices" in self.options:
            raise ValueError("prices are no option: they have a table of their own, [models.NAME.prices]")
        if twice := self.options.keys() & (self.model_extra or {}).keys():
            raise ValueError(f"{', '.join(sorted(twice))}: given among the options and beside them")
        return self

    @property
    def adapter_options(self) -> Mapping[str, Any]:
        """What goes to the adapter."""
        prices = {} if self.prices is None else {"prices": Prices(**self.prices.model_dump())}
        return {**(self.model_extra or {}), **self.options, **prices}

    def limit(self, asked: Budget | None) -> Budget | None:
        """What an explanation may spend: what was asked for, and no more than stands here."""
        return asked if self.budget is None else self.budget.within(asked)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        fields = type(self).model_fields
        return ((name, value) for name, value in super().__repr_args__() if name in fields)


class Settings(BaseSettings):
    """Everything that can be set; without a file, the bundled model on 127.0.0.1:8000."""

    model_config = SettingsConfigDict(
        env_prefix="WHENCE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    server: ServerSettings = ServerSettings()
    models: dict[ModelName, ModelSettings] = Field(
        default={"demo": ModelSettings(provider="demo")}, min_length=1
    )

    @model_validator(mode="after")
    def _default_exists(self) -> Self:
        name = self.server.default_model
        if name is not None and name not in self.models:
            raise ValueError(f"server.default_model is {name!r}; configured: {', '.join(self.models)}")
        return self

    @property
    def default_model(self) -> str | None:
        """The model of who names none: the one that is set, or the only one."""
        only = next(iter(self.models)) if len(self.models) == 1 else None
        return self.server.default_model or only

    def choose(self, name: str | None) -> str:
        """A configured name: the one given, or the default. Raises UnknownModelError, InputError."""
        chosen = self.default_model if name is None else name
        if chosen is None:
            raise InputError(
                f"model is missing, and no server.default_model is set; known: {', '.join(self.models)}"
            )
        if chosen not in self.models:
            raise UnknownModelError("model", chosen, self.models, "Only configured names can be used")
        return chosen

    def make_provider(self, name: str) -> Provider:
        """The adapter of a configured model. Raises UnknownProviderError, MissingExtraError, InputError."""
        own = self.models[name]
        try:
            return resolve(own.provider, **own.adapter_options)
        except TypeError as error:
            raise InputError(
                f"models.{name}: {own.provider} does not take {', '.join(own.adapter_options)}: {error}"
            ) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is passed in goes before the environment, and that before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(path: Path | None = None, **server: Any) -> Settings:
    """Settings of a TOML file and the environment; `server` holds fields that go before both.

    Raises InputError, which says where the fault is, and never what stands there: it may be a secret.
    """

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    first: dict[str, Any] = {"server": server} if server else {}
    if path is not None and not path.is_file():
        raise InputError(f"there is no settings file {path}; see configs/demo.toml for one")
    try:
        return FromFile(**first)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    except SettingsError as error:  # its cause holds the text
        raise InputError(f"WHENCE_* in the environment cannot be read: {error}") from None
    except ValidationError as error:
        faults = [
            ": ".join([".".join(map(str, item["loc"])), item["msg"]] if item["loc"] else [item["msg"]])
            for item in error.errors(include_input=False)
        ]
        raise InputError(f"the settings cannot be used: {'; '.join(faults)}") from None
