"""A function of the caller's as a scorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real

from whence.providers.errors import InputError

ROUNDING = 1e-6
"""What a cosine in float32 may be beyond 1."""


class Custom:
    """Scores with `function(target, text)`, a number from -1 to 1; it is asked once per target and text.

    It is called in worker threads, perhaps in several at once.
    """

    caveats: tuple[str, ...] = ()

    def __init__(self, function: Callable[[str, str], float]) -> None:
        """Raises InputError where `function` cannot be called."""
        if not callable(function):
            raise InputError(
                f"a scorer is a name or a function of (target, text), not a {type(function).__name__}"
            )
        self._function = function
        called = getattr(function, "__qualname__", type(function).__qualname__)
        self.name = f"custom:{called}"

    def score(self, targets: Sequence[str], text: str) -> list[float]:
        """What the function returns. Raises InputError where that is no such number, or it fails."""
        return [self._checked(target, text) for target in targets]

    def _checked(self, target: str, text: str) -> float:
        try:
            given: object = self._function(target, text)
        except Exception as error:
            # The message of their exception may quote the text, which is confidential: it stays the cause.
            raise InputError(
                f"the scorer {self.name} raised {type(error).__name__}: mend the function, or choose the "
                "scorer 'overlap'"
            ) from error
        # numpy's bool is no Real, Python's is.
        if isinstance(given, bool) or not isinstance(given, Real):
            raise InputError(
                f"the scorer {self.name} returned a {type(given).__name__}, not a number: return a float "
                "between -1 and 1"
            )
        number = float(given)
        if not abs(number) <= 1 + ROUNDING:  # false for NaN
            raise InputError(
                f"the scorer {self.name} returned {number}: return a finite number between -1 and 1, where "
                "1 means that the text says the target"
            )
        return min(max(number, -1.0), 1.0)
