"""Write the words that the viewer shares with the page without script, and that neither may write twice."""

from __future__ import annotations

import json
from pathlib import Path

from whence.explain.methods.attention import CAVEAT
from whence.explain.render import scale, visible, wording

INTO = Path(__file__).parents[1] / "viewer" / "src" / "generated" / "words.json"


def words() -> str:
    """The file's text: `wording` as far as the viewer reads it, attention's caveat, and what is drawn how."""
    shared = {name.lower(): value for name, value in vars(wording).items() if name.isupper()}
    del shared["access"]
    shared |= {"attention_caveat": CAVEAT, "edges_percent": scale.EDGES_PERCENT, "invisible": visible.NAMES}
    return json.dumps(shared, indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    INTO.write_text(words(), encoding="utf-8")
