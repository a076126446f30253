"""Draw the pictures of docs/viewer.md: each view of the viewer, in a browser."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from whence import Explainer, Source
from whence.demo.records import PROMPT, generate

INTO = Path(__file__).parents[1] / "docs" / "images"
VIEWS = {"record": "Record and summary", "sources": "Sources", "heatmap": "Heatmap", "heads": "Heads"}


def explained(into: Path) -> Path:
    """A record in three documents: its lines, in which each fact of the summary stands."""
    lines = generate(3).text.splitlines()
    third = -(-len(lines) // 3)
    names = ("admission note", "ward round", "discharge letter")
    sources = [
        Source(text="\n".join(lines[at * third : (at + 1) * third]), name=name)
        for at, name in enumerate(names)
    ]
    explanation = Explainer("demo").explain(
        PROMPT,
        sources=sources,
        method=["attention", "leave_one_out"],
        layers=[1],
        detail=True,
        attention=True,
    )
    return explanation.save(into / "viewer.html")


def draw(page: Page, into: Path) -> None:
    for view, name in VIEWS.items():
        page.get_by_role("tab", name=name).click()
        if view == "record":
            page.locator("[role=listbox] [role=option]").nth(3).click()
        page.wait_for_timeout(500)  # until the picture stands
        page.screenshot(path=into / f"viewer-{view}.png")
        print(into / f"viewer-{view}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=INTO, help="a directory; docs/images by default")
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        file = explained(Path(directory))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 760}, color_scheme=arguments.scheme)
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        draw(page, arguments.into)
        browser.close()


if __name__ == "__main__":
    main()
