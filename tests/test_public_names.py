"""What `import whence` offers is what it says it offers."""

import ast
import inspect
from pathlib import Path

import pytest

import whence
from whence.providers import errors


def names_for_type_checkers() -> set[str]:
    """The names that the front door imports, at its top or for type checkers only."""
    tree = ast.parse(Path(inspect.getfile(whence)).read_text())
    statements = [*tree.body, *(s for block in tree.body if isinstance(block, ast.If) for s in block.body)]
    imports = [
        s for s in statements if isinstance(s, ast.ImportFrom) and (s.module or "").startswith("whence")
    ]
    return {alias.asname or alias.name for statement in imports for alias in statement.names}


def test_names_are_listed_once() -> None:
    assert len(set(whence.__all__)) == len(whence.__all__)


@pytest.mark.parametrize("name", whence.__all__)
def test_every_name_resolves_and_is_listed(name: str) -> None:
    assert getattr(whence, name) is not None
    assert name in dir(whence)


def test_type_checkers_see_the_names_that_a_program_sees() -> None:
    assert names_for_type_checkers() == set(whence.__all__)


def test_a_star_import_gives_exactly_these_names() -> None:
    space: dict[str, object] = {}
    exec("from whence import *", space)  # noqa: S102
    assert set(space) - {"__builtins__"} == set(whence.__all__)


def test_the_design_is_there() -> None:
    promised = {"Explainer", "Source", "Message", "Explanation", "HuggingFace", "WhenceError", "__version__"}
    assert promised <= set(whence.__all__)


def test_every_error_that_can_be_raised_can_be_caught_by_name() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.WhenceError)
    }
    assert tree <= set(whence.__all__)


def test_every_public_class_says_what_it_is() -> None:
    for name in whence.__all__:
        value = getattr(whence, name)
        if isinstance(value, type):
            assert inspect.getdoc(value), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        whence.no_such_name  # noqa: B018
