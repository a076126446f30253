"""An explanation as something to look at: a page, a text, a table. It knows the schema and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from whence.explain.render.html import to_html
from whence.explain.render.table import to_csv
from whence.explain.render.text import to_text
from whence.explain.render.viewer import to_viewer
from whence.explain.schema import Explanation

FORMATS: Mapping[str, Callable[[Explanation], str]] = {
    ".html": to_viewer,
    ".json": Explanation.model_dump_json,
    ".csv": to_csv,
    ".txt": to_text,
}
"""How an explanation is written, by the ending of the file."""


def save(explanation: Explanation, path: Path, *, interactive: bool = True) -> Path:
    """Write the explanation in UTF-8; the ending (.html, .json, .csv, .txt) says how. Returns the path.

    An .html file is the viewer; where not `interactive`, a page without script. The file appears whole or
    not at all, and one that was there before stays until then. Raises ValueError for another ending or a
    character that UTF-8 cannot hold, OSError.
    """
    write = FORMATS.get(path.suffix.lower())
    if write is None:
        raise ValueError(f"{path.name}: the ending says how to write; use one of {', '.join(FORMATS)}")
    if write is to_viewer and not interactive:
        write = to_html
    write_whole(path, write(explanation))
    return path


def write_whole(path: Path, text: str) -> None:
    """Write a file in UTF-8 that appears whole or not at all. Raises UnicodeEncodeError, OSError."""
    content = text.encode()
    # In the same directory, because only a move within one file system is atomic. Its mode is the usual
    # one for a new file, which tempfile would not give.
    temporary = path.with_name(f".whence-{secrets.token_hex(8)}.tmp")
    file = temporary.open("xb")
    try:
        with file:
            file.write(content)
        temporary.replace(path)
    except BaseException:  # also an interrupt may leave nothing behind
        temporary.unlink(missing_ok=True)
        raise
