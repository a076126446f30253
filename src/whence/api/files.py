"""Sources from files and standard input: UTF-8, to the character as they are."""

from __future__ import annotations

import sys
from pathlib import Path

from whence.providers.errors import TextError
from whence.providers.prompt import Source, usable_name

STANDARD_INPUT = "-"


def read_source(path: str) -> Source:
    """One file, or standard input for `-`, named after it. Newlines stay as they are.

    Raises TextError for what is missing, unreadable or not UTF-8.
    """
    name = "stdin" if path == STANDARD_INPUT else Path(path).name
    try:
        data = sys.stdin.buffer.read() if path == STANDARD_INPUT else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TextError(
            f"cannot read {path!r}: {reason}; give the path of a text file, or - for stdin"
        ) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(
            f"{path!r} is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}); convert it, "
            "for example with: iconv -f LATIN1 -t UTF-8"
        ) from error
    return Source(text=text, name=usable_name(name))
