"""Every name leads to its adapter, and every other name to an error that says what to write."""

from __future__ import annotations

from importlib.metadata import metadata
from importlib.resources import files

import pytest
from typer.testing import CliRunner

from whence.api.cli import app
from whence.providers.base import Provider
from whence.providers.claude import Claude
from whence.providers.errors import InputError, MissingExtraError, UnknownProviderError
from whence.providers.fake import FakeProvider
from whence.providers.huggingface import HuggingFace
from whence.providers.ollama import Ollama
from whence.providers.registry import PROVIDERS, Entry, installed, load_attribute, resolve
from whence.providers.vertex import Vertex

NOBODY = "127.0.0.1:9"
DEMO = str(files("whence.demo") / "model")


@pytest.mark.parametrize(
    ("name", "adapter", "model"),
    [
        ("fake", FakeProvider, "fake"),
        ("demo", HuggingFace, "demo"),
        (f"huggingface:{DEMO}", HuggingFace, DEMO),
        ("huggingface:org/model:with:colons", HuggingFace, "org/model:with:colons"),
        ("ollama:hf.co/org/repo:Q8_0", Ollama, "hf.co/org/repo:Q8_0"),
        ("claude:claude-sonnet-5-5", Claude, "claude-sonnet-5-5"),
        ("vertex:gemini-2.5-flash", Vertex, "gemini-2.5-flash"),
    ],
)
def test_a_name_leads_to_its_adapter_and_model(name: str, adapter: type, model: str) -> None:
    provider = resolve(name)
    assert type(provider) is adapter
    assert isinstance(provider, Provider)
    assert provider.model == model


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_factory_is_there_and_every_entry_says_what_it_is(name: str) -> None:
    entry = PROVIDERS[name]
    assert callable(load_attribute(entry))
    assert entry.about
    assert installed(entry)
    assert ":" not in name, "what follows the colon is the model"


def test_the_tests_above_know_every_provider() -> None:
    assert set(PROVIDERS) == {"fake", "demo", "huggingface", "ollama", "claude", "vertex"}


def test_options_go_to_the_adapter() -> None:
    provider = resolve("fake", access="text", model="other")
    assert isinstance(provider, FakeProvider)
    assert (provider.access, provider.model) == ("text", "other")


@pytest.mark.parametrize("name", ["", "gpt2", "Demo", " demo", "org/model", ":demo", "hugging"])
def test_an_unknown_name_is_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(
        UnknownProviderError, match="known: demo, fake, huggingface, ollama, claude, vertex"
    ) as caught:
        resolve(name)
    assert repr(name.partition(":")[0]) in str(caught.value)


@pytest.mark.parametrize("name", ["huggingface", "huggingface:"])
def test_a_missing_model_is_asked_for(name: str) -> None:
    with pytest.raises(InputError, match="huggingface:NAME"):
        resolve(name)


@pytest.mark.parametrize("name", ["demo:", "demo:large", "fake:fake"])
def test_a_superfluous_model_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"write '{name.partition(':')[0]}', not '{name}'"):
        resolve(name)


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    entry = Entry(factory="no_such_package.inside:Adapter", about="", extra="ollama", packages=("json",))
    with pytest.raises(MissingExtraError, match=r"'no_such_package'.*pip install 'whence\[ollama\]'"):
        load_attribute(entry)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(factory="whence.providers.no_such_module:Adapter", about="", extra="ollama"),
        Entry(factory="no_such_package:Adapter", about=""),
    ],
)
def test_a_mistake_of_ours_is_not_called_a_missing_extra(entry: Entry) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such") as caught:
        load_attribute(entry)
    assert not isinstance(caught.value, MissingExtraError)


def test_what_is_installed_is_told_by_its_packages() -> None:
    assert installed(Entry(factory="", about="", packages=("json", "math")))
    assert not installed(Entry(factory="", about="", packages=("json", "no_such_package")))


def test_the_extras_exist() -> None:
    extras = set(metadata("whence").get_all("Provides-Extra") or [])
    assert {entry.extra for entry in PROVIDERS.values() if entry.extra} <= extras


def test_every_name_is_listed_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OLLAMA_HOST", NOBODY)
    done = CliRunner().invoke(app, ["models"])
    assert done.exit_code == 0
    _, *lines = done.stdout.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == [
        f"{name}:NAME" if entry.takes_model else name for name, entry in PROVIDERS.items()
    ]
    for line, entry in zip(lines, PROVIDERS.values(), strict=True):
        assert entry.about in line
        assert line.rstrip().endswith("yes")
