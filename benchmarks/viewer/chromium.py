"""A page in headless Chromium, and what its main thread spends on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, CDPSession, Page, Route

QUIET_SECONDS = 0.3
QUIET_CPU_SECONDS = 0.004
"""A page that spends less than this in such a time has drawn what it had to draw."""
CANVAS, TASK = "Canvas2DResourceProvider", "ThreadControllerImpl::RunTask"
"""Events of a trace: a canvas becomes a part of the picture; a task of a thread."""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Measured:
    """One page. `wrong`: requests that leave the machine, and whatever the page logs as an error."""

    def __init__(self, page: Page, timeout_s: float) -> None:
        self.page = page
        self.wrong: list[str] = []
        self._timeout_s = timeout_s
        page.set_default_timeout(1000 * timeout_s)
        page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cpu(self, act: Callable[[], object], seen: str | None = None) -> float:
        """Seconds of CPU on the main thread, from `act` until nothing is left to do.

        `seen`: a selector that must be there. Raises TimeoutError.
        """
        before = self._spent()
        act()
        if seen is not None:
            self.page.wait_for_selector(seen, state="attached")
        return self._at_rest() - before

    def first_canvas(self, address: str, seen: str) -> tuple[float, float]:
        """The same of a page that is opened: until a canvas is first drawn, and until all of it is read.

        By the browser's own trace: a page that is still being read answers nobody who asks what it has spent.
        """
        browser = self.page.context.browser
        if browser is None:
            raise RuntimeError("a page of no browser cannot be traced")
        before = self._spent()
        browser.start_tracing(page=self.page, categories=["toplevel", "blink"])
        self.page.goto(address, wait_until="commit")
        self.page.wait_for_selector(seen, state="attached")
        read = self._at_rest() - before
        events = json.loads(browser.stop_tracing())["traceEvents"]
        drawn = min((event for event in events if CANVAS in event["name"]), key=lambda event: event["ts"])
        spent = sum(
            event["tdur"]
            for event in events
            if event["name"] == TASK
            and (event["pid"], event["tid"]) == (drawn["pid"], drawn["tid"])
            and event["ts"] <= drawn["ts"]
            and "tdur" in event
        )
        return spent / 1e6, read

    def first_seen(self, address: str, seen: str) -> float:
        """The same of a page that is opened, until `seen` is drawn; then it may read all of itself."""
        before = self._spent()
        self.page.goto(address, wait_until="commit")
        self.page.wait_for_selector(seen, state="attached")
        self.page.evaluate(TWO_FRAMES)
        first = self._spent() - before
        self._at_rest()
        return first

    def _spent(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    def _at_rest(self) -> float:
        """What was spent when the page came to rest."""
        until = time.monotonic() + self._timeout_s
        spent = self._spent()
        while time.monotonic() < until:
            time.sleep(QUIET_SECONDS)
            now = self._spent()
            if now - spent < QUIET_CPU_SECONDS:
                return spent
            spent = now
        raise TimeoutError(f"not done in {self._timeout_s:.0f} s")


@contextmanager
def opened(
    browser: Browser, folder: Path, libraries: Path | None = None, timeout_s: float = 60
) -> Iterator[Measured]:
    """A page at rest, on an empty file of `folder`, so that what it opens next is the same site.

    `libraries`: a node_modules, whose files answer for the CDN that a peer asks.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        page = context.new_page()
        measured = Measured(page, timeout_s)
        context.route(
            lambda url: not url.startswith("file:"), lambda route: _answer(route, libraries, measured)
        )
        empty = folder / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>")
        page.goto(empty.as_uri())
        yield measured
    finally:
        context.close()


FILES = {
    "require.min.js": "requirejs/require.js",
    "d3.min.js": "d3/dist/d3.min.js",
    "jquery.min.js": "jquery/dist/jquery.min.js",
}


def _answer(route: Route, libraries: Path | None, measured: Measured) -> None:
    measured.wrong.append(f"asks {route.request.url}")
    name = FILES.get(route.request.url.rpartition("/")[2])
    if libraries is None or name is None:
        route.abort()
    else:
        route.fulfill(path=libraries / name, content_type="text/javascript")
