"""Write the words that hosts give to the viewer, for its types and its tests."""

from __future__ import annotations

import json
from pathlib import Path

from whence.explain.render.words import words

INTO = Path(__file__).parents[1] / "viewer" / "src" / "generated" / "words.json"


def text() -> str:
    """The file's text."""
    return json.dumps(json.loads(words()), indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    INTO.write_text(text(), encoding="utf-8")
