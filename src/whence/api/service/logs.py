"""Logs without any text of a record: one JSON line each.

Messages are written of our own logger and of uvicorn's, which speak of addresses and times. Of all other
libraries only the place is written, and of exceptions the type and the frames: their messages may hold what
was sent.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

OWN = "whence.server"
TRUSTED = (OWN, "uvicorn.error")
ACCESS = "uvicorn.access"
"""uvicorn has switched it off, and looks at `propagate` to see that: it would write paths and queries."""

log = logging.getLogger(OWN)


class JsonLines(logging.Formatter):
    """A record as one line of JSON; `extra={"fields": {...}}` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        """What may be written of this record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.name in TRUSTED:
            line["message"] = record.getMessage()
        else:
            line["place"] = f"{record.filename}:{record.lineno}"
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line |= describe(record.exc_info[1])
        return json.dumps(line)


def describe(error: BaseException) -> dict[str, object]:
    """The type of an exception, and where it was raised; not its message, which may hold text."""
    return {"exception": type(error).__qualname__, "frames": _frames(error.__traceback__)}


def _frames(trace: TracebackType | None) -> list[str]:
    return [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(trace)
    ]


def configure(level: str) -> None:
    """Let every logger of the process write such lines to stderr, and nothing write past them."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    take_over()
    logging.captureWarnings(True)
    sys.unraisablehook = lambda hook: _report(hook.exc_value)
    threading.excepthook = lambda hook: _report(hook.exc_value)


def take_over() -> None:
    """Leave no logger a way of its own to stderr; again after each import of a library that makes such ones.

    transformers, huggingface_hub and torch give theirs handlers, past which ours never hears of a record.
    Where `configure` was not called, the loggers are those of the program that serves the application.
    """
    if not any(isinstance(handler.formatter, JsonLines) for handler in logging.root.handlers):
        return
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name != ACCESS:
            logger.handlers.clear()
            logger.propagate = True


def _report(error: BaseException | None) -> None:
    log.error("an error that nobody caught", extra={"fields": describe(error) if error else {}})
