"""axe-core, which finds what keeps people from using a page; npm installs it in viewer/."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

AXE = Path(__file__).parents[2] / "viewer" / "node_modules" / "axe-core" / "axe.min.js"


def axe() -> str:
    """Its script. Who lacks it skips the test, but not where CI is set."""
    if not AXE.is_file():
        told = pytest.fail if os.environ.get("CI") else pytest.skip
        told("needs axe-core: cd viewer && npm ci")
    return AXE.read_text(encoding="utf-8")
