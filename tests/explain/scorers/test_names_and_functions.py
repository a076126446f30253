"""A scorer by its name, and a function as a scorer."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from whence import InputError, UnknownScorerError
from whence.explain.scorers import SCORERS, Scorer, get_scorer

CONFIDENTIAL = "Jane Doe takes apixaban"


def test_overlap_is_a_scorer_by_name() -> None:
    scorer = get_scorer("overlap")
    assert isinstance(scorer, Scorer)
    assert scorer.name == "overlap"
    assert all(caveat.endswith(".") for caveat in scorer.caveats)


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(UnknownScorerError, match="unknown scorer 'bleu'; known: " + ", ".join(SCORERS)):
        get_scorer("bleu")


def test_an_option_that_a_scorer_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="'overlap' has no option model; it takes none"):
        get_scorer("overlap", model="x")
    with pytest.raises(InputError, match="'embedding' has no option size; it takes model"):
        get_scorer("embedding", size=3)
    with pytest.raises(InputError, match="a function as a scorer has no option model"):
        get_scorer(lambda target, text: 1.0, model="x")


def test_what_is_neither_a_name_nor_a_function_is_refused() -> None:
    with pytest.raises(InputError, match="a name or a function of \\(target, text\\), not a int"):
        get_scorer(3)  # type: ignore[arg-type]


def test_a_function_is_asked_for_each_target_with_the_text() -> None:
    def same(target: str, text: str) -> float:
        return float(target in text)

    scorer = get_scorer(same)
    assert isinstance(scorer, Scorer)
    assert scorer.name.startswith("custom:")
    assert scorer.name.endswith("same")
    assert scorer.score(["a", "b"], "a c") == [1.0, 0.0]
    assert scorer.score([], "a") == []


@pytest.mark.parametrize("given", [0, 1, -1, 0.5, np.float32(0.5), np.int64(1)])
def test_any_real_number_from_minus_one_to_one_is_taken(given: float) -> None:
    found = get_scorer(lambda target, text: given).score(["a"], "b")
    assert found == [float(given)]
    assert type(found[0]) is float


@pytest.mark.parametrize(
    "given", [math.nan, math.inf, -1.01, 2, None, "0.5", True, 1j, np.array([1.0]), np.True_]
)
def test_any_other_result_is_an_error_without_the_text(given: object) -> None:
    function: Callable[[str, str], float] = lambda target, text: given  # type: ignore[assignment,return-value]  # noqa: E731
    with pytest.raises(InputError, match=r"the scorer custom:.* returned .*: return a ") as caught:
        get_scorer(function).score([CONFIDENTIAL], CONFIDENTIAL)
    assert CONFIDENTIAL not in str(caught.value)


def test_a_result_that_is_text_is_not_quoted() -> None:
    with pytest.raises(InputError, match="returned a str, not a number") as caught:
        get_scorer(lambda target, text: text).score([CONFIDENTIAL], CONFIDENTIAL)  # type: ignore[arg-type,return-value]
    assert CONFIDENTIAL not in str(caught.value)


def test_an_exception_of_the_function_is_the_cause_of_an_error_without_the_text() -> None:
    def breaks(target: str, text: str) -> float:
        raise KeyError(text)

    with pytest.raises(InputError, match=r"custom:.*breaks raised KeyError: mend the function") as caught:
        get_scorer(breaks).score([CONFIDENTIAL], CONFIDENTIAL)
    assert isinstance(caught.value.__cause__, KeyError)
    assert CONFIDENTIAL not in str(caught.value)
