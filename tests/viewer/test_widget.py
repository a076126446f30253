"""The notebook's widget, in a real JupyterLab (`make notebooks`), and what is shown where no widget runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.viewer.explained import record
from tests.viewer.hostile import EXECUTED, hostile

from whence import Explanation, MissingExtraError
from whence.explain.render import widget
from whence.explain.render.html import to_frame
from whence.explain.render.widget import WIDGET_TYPE, to_viewer_frame

PATIENCE_SECONDS = 60
CELL = "from whence import Explanation\nExplanation.model_validate_json(open('e.json').read())"
LAB = (
    *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0"),
    *("--IdentityProvider.token=", "--ServerApp.open_browser=False", "--LabApp.extension_manager=readonly"),
    *("--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
)


def imported(name: str) -> Any:
    """A module of the extra `lab`; who lacks it skips the test, but not where CI is set."""
    return import_module(name) if os.environ.get("CI") else pytest.importorskip(name)


def first_target(explanation: Explanation) -> str:
    return explanation.target_text(0).strip()


def test_a_cell_shows_the_widget_or_a_frame_or_text() -> None:
    shown = record()._repr_mimebundle_()
    assert list(shown) == [WIDGET_TYPE, "text/plain", "text/html"]
    assert set(shown[WIDGET_TYPE]) == {"version_major", "version_minor", "model_id"}
    assert shown["text/html"] == record()._repr_html_() == to_viewer_frame(record())
    lines = shown["text/plain"].splitlines()
    (start,) = (at for at, line in enumerate(lines) if line.endswith(first_target(record())))
    passages = [line for line in lines[start + 1 : start + 7] if "(source 1)" in line]
    tops = record().top(0, 5)
    assert len(passages) == len(tops) == 5
    assert all(" ".join(top.text.split()) in line for top, line in zip(tops, passages, strict=True))


def test_without_anywidget_there_are_the_frame_and_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    widget._widget.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert list(record()._repr_mimebundle_()) == ["text/plain", "text/html"]
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'whence[notebook]'")):
        record().widget()


def test_the_kernel_keeps_the_weights_until_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = record().widget()
    told = json.loads(shown.explanation)
    assert told["id"] == record().id
    assert all(head["values"] is None for block in told["attention"] for head in block["data"])
    answers: list[Any] = []
    monkeypatch.setattr(shown, "send", answers.append)
    attention = record().attention
    assert attention is not None
    head = attention[0].data[3]
    asked = {"block": attention[0].name, "layer": head.layer, "head": head.head}
    shown._handle_custom_msg(asked, [])
    assert answers == [{**asked, "values": head.values}]


def test_what_is_too_large_for_a_cell_is_shown_without_script(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'sandbox="allow-scripts allow-downloads"' in to_viewer_frame(record())
    monkeypatch.setattr(widget, "LARGEST_FRAME_BYTES", 100_000)
    assert to_viewer_frame(record()) == to_frame(record())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab with a notebook that has one cell."""
    imported("jupyterlab")
    nbformat = imported("nbformat")
    folder = tmp_path_factory.mktemp("lab")
    (folder / "e.json").write_text(record().model_dump_json(), encoding="utf-8")
    cells = [nbformat.v4.new_code_cell(CELL), nbformat.v4.new_markdown_cell("the end")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "n.ipynb")
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    settings = {"JUPYTERLAB_SETTINGS_DIR": str(folder / "s"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "w")}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            LAB, cwd=folder, env=os.environ | own | settings, stdout=output, stderr=subprocess.STDOUT
        )
    limit = time.monotonic() + PATIENCE_SECONDS
    while not (found := re.search(r"http://(?:127\.0\.0\.1|localhost):(\d+)/lab", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.1)
    yield f"http://127.0.0.1:{found[1]}"
    process.terminate()
    process.wait(PATIENCE_SECONDS)


def test_the_widget_runs_in_jupyterlab(lab: str, context: BrowserContext) -> None:
    strange: list[str] = []
    context.on("request", lambda asked: strange.append(asked.url) if not at_home(asked.url, lab) else None)
    page = context.new_page()
    page.goto(f"{lab}/doc/tree/n.ipynb")
    page.get_by_text("| Idle").wait_for(timeout=1000 * PATIENCE_SECONDS)  # a kernel, which can be asked
    page.locator(".jp-CodeCell .cm-content").click()
    page.keyboard.press("Control+Enter")
    viewer = page.locator(".jp-OutputArea-output .whence")
    expect(viewer).to_contain_text(first_target(record()), timeout=1000 * PATIENCE_SECONDS)
    choose_the_first_sentence(viewer)

    # Heads are asked of the kernel: how many lines there are is known when they have come.
    viewer.get_by_role("tab", name="Heads").click()
    expect(viewer.locator("#whence-heads")).to_contain_text("strongest of")

    # Keys of the viewer do nothing to the notebook: "x" would cut the cell, "b" make another one.
    viewer.get_by_role("tab", name="Heads").focus()
    for key in ("x", "b", "d", "d"):
        page.keyboard.press(key)
    expect(page.locator(".jp-Notebook-cell")).to_have_count(2)

    dark = "e => getComputedStyle(e).backgroundColor"
    light = viewer.evaluate(dark)
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    assert viewer.evaluate(dark) != light
    assert not strange


def at_home(url: str, home: str) -> bool:
    return url.startswith((home, f"blob:{home}", "data:", home.replace("http", "ws")))


def choose_the_first_sentence(viewer: Any) -> None:
    viewer.locator("#whence-record").get_by_text(first_target(record())).first.click()
    strongest = record().top(0, 1)[0]
    expect(viewer.locator("#whence-record")).to_contain_text(" ".join(strongest.text.split()))


def converted(explanation: Explanation, folder: Path) -> Path:
    """A notebook that was saved with this output and no state of widgets, as HTML."""
    nbconvert, nbformat = imported("nbconvert"), imported("nbformat")
    output = nbformat.v4.new_output("execute_result", explanation._repr_mimebundle_(), execution_count=1)
    cell = nbformat.v4.new_code_cell("e", outputs=[output], execution_count=1)
    text, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    file = folder / "n.html"
    file.write_text(text, encoding="utf-8")
    return file


def opened(context: BrowserContext, file: Path) -> Page:
    """The page, without what nbconvert itself would load from the internet."""
    context.route(re.compile("^https?:"), lambda route: route.abort())
    page = context.new_page()
    page.goto(file.as_uri())
    return page


def test_a_converted_notebook_shows_the_viewer_in_a_frame(context: BrowserContext, tmp_path: Path) -> None:
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on(
        "console", lambda said: wrong.append(said.text) if "about:srcdoc" in str(said.location) else None
    )
    page = opened(context, converted(record(), tmp_path))
    frame = page.frame_locator("iframe[title^=Whence]")
    choose_the_first_sentence(frame.locator(".whence"))
    frame.locator("summary", has_text="Export").click()
    with page.expect_download() as saved:
        frame.get_by_role("button", name="CSV").click()
    assert first_target(record()) in Path(saved.value.path()).read_text(encoding="utf-8")
    assert not [said for said in wrong if "require" not in said], "nbconvert's own scripts need require.js"


def test_hostile_text_stays_in_its_frame(context: BrowserContext, tmp_path: Path) -> None:
    page = opened(context, converted(hostile(), tmp_path))
    page.frame_locator("iframe[title^=Whence]").locator(".whence").wait_for()
    for frame in page.frames:
        assert not frame.evaluate(EXECUTED)
