"""Every file of settings that comes with Whence can be used as it is."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from whence.api.service.settings import ModelSettings, load_settings
from whence.providers.base import Prices
from whence.providers.ollama import Ollama
from whence.providers.registry import PROVIDERS, load_attribute

FOLDER = Path(__file__).parents[2] / "configs"
FILES = sorted(path.name for path in FOLDER.glob("*.toml"))
OF_APIS = [
    (file, name)
    for file in FILES
    for name, own in load_settings(FOLDER / file).models.items()
    if own.provider.startswith(("claude:", "vertex:", "ollama:"))
]


def model(file: str, name: str) -> ModelSettings:
    return load_settings(FOLDER / file).models[name]


def test_there_is_a_file_for_each_way_to_begin() -> None:
    assert {file for file, _ in OF_APIS} == {"claude.toml", "vertex.toml", "ollama.toml", "hybrid.toml"}
    assert FILES == ["claude.toml", "demo.toml", "hybrid.toml", "ollama.toml", "vertex.toml"]
    listed = (FOLDER / "README.md").read_text()
    assert all(f"`{file}`" in listed for file in FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_file_listens_on_this_machine_and_has_a_default(file: str) -> None:
    settings = load_settings(FOLDER / file)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert settings.default_model is not None
    assert (FOLDER / file).read_text().startswith(f"# whence serve --config configs/{file}: ")


@pytest.mark.parametrize(("file", "name"), OF_APIS)
def test_the_adapter_takes_every_option(file: str, name: str) -> None:
    own = model(file, name)
    provider, _, wanted = own.provider.partition(":")
    inspect.signature(load_attribute(PROVIDERS[provider])).bind(wanted, **own.adapter_options)


@pytest.mark.parametrize(("file", "name"), OF_APIS)
def test_a_model_of_an_api_has_a_budget_no_key_and_holds_up_nobody(file: str, name: str) -> None:
    own = model(file, name)
    assert own.budget is not None
    assert None not in (own.budget.calls, own.budget.tokens)
    assert (own.budget.money is None) == (own.prices is None)
    assert not own.preload
    assert own.adapter_options.keys().isdisjoint({"api_key", "credentials"})


def test_one_name_is_a_setting_of_the_server_and_an_option_of_the_adapter() -> None:
    own = model("claude.toml", "haiku")
    assert (own.timeout_seconds, own.adapter_options["timeout_seconds"]) == (600, 120)
    assert own.adapter_options["prices"] == Prices(input_per_million=0.10, output_per_million=0.50)


def test_of_the_hybrid_the_local_model_is_the_default() -> None:
    settings = load_settings(FOLDER / "hybrid.toml")
    chosen = settings.models[settings.choose(None)]
    assert (chosen.provider, chosen.preload, chosen.budget) == ("demo", True, None)
    assert settings.models[settings.choose("claude")].provider.startswith("claude:")


@pytest.mark.parametrize("name", load_settings(FOLDER / "ollama.toml").models)
def test_no_record_leaves_the_servers_of_who_uses_an_ollama(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "https://elsewhere.example.com")
    settings = load_settings(FOLDER / "ollama.toml")
    given = settings.models[name].adapter_options
    assert isinstance(
        settings.make_provider(name), Ollama
    )  # which refuses a cloud, and another host by http://
    assert given["host"] in ("127.0.0.1:11434", "https://ollama.example.org")
    assert given["native"] in (True, False)  # chosen, and not found out
    assert "insecure" not in given


def test_an_ollama_of_this_machine_is_the_default_and_its_weights_are_loaded() -> None:
    settings = load_settings(FOLDER / "ollama.toml")
    chosen = settings.models[settings.choose(None)]
    assert (chosen.adapter_options["host"], chosen.adapter_options["native"]) == ("127.0.0.1:11434", True)
