"""The viewer in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.viewer.needed import missing

from whence import Explanation
from whence.explain.render.viewer import to_viewer

CHROMIUM = os.environ.get("WHENCE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
Opens = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file of tests: Playwright keeps an event loop running, which other tests would meet."""
    if CHROMIUM is None:
        missing("Chromium: apt-get install chromium, or set WHENCE_CHROMIUM")
    with sync_playwright() as playwright:
        # Without a sandbox, for root in a container has none.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def opens(context: BrowserContext, tmp_path: Path) -> Iterator[Opens]:
    """Opens an explanation as a file. Whatever it then asks of a network, violates or logs is an error."""
    wrong: list[str] = []
    context.on(
        "request", lambda asked: wrong.append(asked.url) if not asked.url.startswith("file:") else None
    )
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)

    def opens(explanation: Explanation, *, retrieval: str | None = None, state: str = "") -> Page:
        file = tmp_path / "viewer.html"
        file.write_text(to_viewer(explanation, retrieval), encoding="utf-8")
        page = context.new_page()
        page.goto(f"{file.as_uri()}{state}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield opens
    assert not wrong
