"""What goes wrong in a handler: kept and told, and never raised into a chain."""

from __future__ import annotations

import logging
from traceback import clear_frames

ERRORS = 100
"""So many are kept."""
log = logging.getLogger("whence.langchain")


class Harmless:
    """What is raised inside is one of its `errors`. As often as one likes, from any thread."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> bool:
        if error is None or isinstance(error, KeyboardInterrupt):
            return False
        self.keep(error)
        return True

    def keep(self, error: BaseException) -> None:
        """Without what its frames hold, which are prompts and answers; nor is its text logged."""
        log.warning("an answer could not be explained: %s", type(error).__name__)
        self.errors.append(error)
        del self.errors[:-ERRORS]
        cause: BaseException | None = error
        while cause is not None:
            clear_frames(cause.__traceback__)
            cause = cause.__cause__ or cause.__context__
