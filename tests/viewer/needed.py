"""What the viewer's tests need beside Python's packages: who lacks it skips them, but not where CI is set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

AXE = Path(__file__).parents[2] / "viewer" / "node_modules" / "axe-core" / "axe.min.js"


def missing(advice: str) -> NoReturn:
    """End a test that cannot run here: `advice` says what to install."""
    if os.environ.get("CI"):
        pytest.fail(f"needs {advice}")
    pytest.skip(f"needs {advice}")


def axe() -> str:
    """The script of axe-core, which finds what keeps people from using a page."""
    if not AXE.is_file():
        missing("axe-core: cd viewer && npm ci")
    return AXE.read_text(encoding="utf-8")
