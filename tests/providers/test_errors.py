"""The tree of errors is the one that is drawn, and every message says what would work."""

from __future__ import annotations

import builtins
import copy
import importlib
import pickle
import pkgutil
import re
from importlib.util import find_spec

import pytest

import whence
from whence.explain.methods import METHODS, get_method
from whence.providers import errors
from whence.providers.errors import (
    ContextLengthError,
    MissingExtraError,
    NameUnknownError,
    TextError,
    UnknownLayerError,
    UnknownMethodError,
    UnknownModelError,
    UnknownProviderError,
    WhenceError,
)
from whence.providers.registry import PROVIDERS, resolve

LINE = re.compile(r"(?P<branch>[ │]*)(?:[├└]── )?(?P<name>\w*Error)(?: \((?P<builtin>\w+)\))?(?:  .*)?")


def drawn() -> list[tuple[str, str | None, str | None]]:
    """Name, parent and builtin of each error in the drawing, from top to bottom."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    path: list[str] = []
    tree: list[tuple[str, str | None, str | None]] = []
    for line in lines:
        match = LINE.fullmatch(line[4:])
        assert match, f"this line of the drawing cannot be read: {line!r}"
        depth = len(match["branch"]) // 4 + ("── " in line)
        path[depth:] = [match["name"]]
        tree.append((match["name"], path[depth - 1] if depth else None, match["builtin"]))
    return tree


def test_the_drawing_is_the_tree() -> None:
    ours = {name: (parent, builtin) for name, parent, builtin in drawn()}
    assert len(ours) == len(drawn()) > 10
    for name, (parent, builtin) in ours.items():
        bases = getattr(errors, name).__bases__
        expected = [getattr(errors, parent)] if parent else [Exception]
        assert list(bases) == expected + ([getattr(builtins, builtin)] if builtin else []), name


def every_subclass(of: type[WhenceError]) -> set[type[WhenceError]]:
    return {of}.union(*(every_subclass(sub) for sub in of.__subclasses__()))


def test_no_error_of_ours_is_missing_from_the_drawing() -> None:
    for module in pkgutil.walk_packages(whence.__path__, "whence."):
        importlib.import_module(module.name)
    ours = {cls for cls in every_subclass(WhenceError) if cls.__module__.startswith("whence")}
    assert {cls.__module__ for cls in ours} == {errors.__name__}
    assert {cls.__name__ for cls in ours} == {name for name, _, _ in drawn()}


def test_errors_are_caught_as_what_they_are_in_python() -> None:
    with pytest.raises(ValueError, match="lone"):
        raise TextError("a lone surrogate")
    with pytest.raises(LookupError):
        resolve("no-such-provider")
    with pytest.raises(ImportError):
        raise MissingExtraError("huggingface", "torch")


@pytest.mark.parametrize(
    "cls", [NameUnknownError, UnknownProviderError, UnknownModelError, UnknownMethodError, UnknownLayerError]
)
def test_an_unknown_name_is_repeated_beside_those_that_exist(cls: type[NameUnknownError]) -> None:
    assert str(cls("thing", "x", ["a", "b"])) == "unknown thing 'x'; known: a, b"
    assert str(cls("layer", 7, [0, 1], "Count from 0")) == "unknown layer 7; known: 0, 1. Count from 0"
    assert str(cls("thing", "x", [])) == "unknown thing 'x'; known: none"
    assert str(cls("thing", "x", iter("ab"))) == "unknown thing 'x'; known: a, b"


def test_an_unknown_provider_hears_of_every_provider() -> None:
    with pytest.raises(UnknownProviderError, match=r"unknown provider 'gpt2'.*huggingface:path") as caught:
        resolve("gpt2")
    assert all(name in str(caught.value) for name in PROVIDERS)


def test_an_unknown_method_hears_of_every_method() -> None:
    with pytest.raises(UnknownMethodError, match="unknown method 'magic'") as caught:
        get_method("magic")
    assert all(name in str(caught.value) for name in ["auto", *METHODS])


def test_too_many_tokens_are_counted_and_the_way_out_is_named() -> None:
    error = ContextLengthError(tokens=1300, limit_tokens=1024)
    assert (error.tokens, error.limit_tokens, error.excess_tokens) == (1300, 1024, 276)
    for piece in ("1300", "1024", "276 more", "Shorten", "truncate=True", "--truncate"):
        assert piece in str(error)


def test_a_missing_extra_names_its_package_and_its_command() -> None:
    error = MissingExtraError("huggingface", "torch")
    assert error.extra == "huggingface"
    assert str(error).endswith("'torch', which is not installed: pip install 'whence[huggingface]'")


@pytest.mark.parametrize(
    "error",
    [
        WhenceError("message"),
        TextError("message"),
        UnknownLayerError("layer", 7, [0]),
        MissingExtraError("huggingface", "torch"),
        ContextLengthError(tokens=5, limit_tokens=3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_way_between_processes(error: WhenceError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)
        assert other.args == error.args


def test_the_packages_of_every_extra_can_be_looked_up() -> None:
    for entry in PROVIDERS.values():
        assert all(find_spec(package) for package in entry.packages)
