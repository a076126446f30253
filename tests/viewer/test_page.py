"""The page at `/`, in a browser, against a real service on a real socket."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, FilePayload, Page, Route, expect
from tests.api.server.conftest import FOREVER_SECONDS, Server, Start, sent
from tests.api.server.conftest import start as start
from tests.viewer.hostile import EXECUTED, TEXTS
from tests.viewer.needed import axe

from whence import Explanation
from whence.api.service.keys import hash_key

RECORD = "alpha is in this confidential letter.\nNothing is there. gamma was seen; delta too."
TASK = "Summarise this confidential letter."
OUTPUT = ("The dose is low.", "The scan was clear.")
MODELS = f"""
[server]
log_level = "debug"
default_model = "fake"

[models.fake]
provider = "fake"

[models.stuck]
provider = "fake"
latency_s = {FOREVER_SECONDS}

[models.api]
provider = "fake"
access = "text"
cites = true
[models.api.prices]
input_per_million = 1000
output_per_million = 1000
[models.api.budget]
calls = 50
"""
NAME = "e => e.ariaLabel ?? (e.labels?.[0] ?? e).textContent.trim()"
REFUSED = "Failed to load resource: the server responded with a status of 4"
"""What Chromium writes to the console of any answer with an error."""

Visits = Callable[..., Page]


@pytest.fixture(scope="module")
def service(start: Start) -> Server:
    sent.update({*RECORD.splitlines(), TASK})
    return start(MODELS)


@pytest.fixture
def visits(context: BrowserContext, service: Server) -> Iterator[Visits]:
    """Opens the page of a server. Whatever it then asks of others, violates or logs is an error."""
    wrong: list[str] = []
    homes: list[str] = []
    refusals: list[bool] = []
    context.on("request", lambda asked: wrong.append(asked.url) if not at_home(asked.url) else None)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda said: wrong.append(said.text) if not told(said.text) else None)

    def at_home(url: str) -> bool:
        return url.startswith((*homes, *(f"blob:{home}" for home in homes)))

    def told(text: str) -> bool:
        return any(refusals) and text.startswith(REFUSED)

    def visits(server: Server = service, *, refusal: bool = False) -> Page:
        homes.append(server.url)
        refusals.append(refusal)
        page = context.new_page()
        page.goto(server.url)
        page.wait_for_selector("html[data-ready]")
        return page

    yield visits
    assert not wrong


def fill(page: Page, *, text: str = RECORD, task: str = TASK) -> None:
    page.get_by_label("Text of source 1").fill(text)
    page.get_by_label("What the model is asked to do").fill(task)


def choose(page: Page, model: str) -> None:
    page.get_by_role("combobox", name="Model", exact=True).select_option(model)


def explain(page: Page) -> None:
    page.get_by_role("button", name="Explain", exact=True).click()


def faults(page: Page) -> list[str]:
    """What axe finds."""
    page.evaluate(axe())
    found: list[str] = page.evaluate(
        "axe.run().then(({violations}) => violations.map(v => `${v.id}: ${v.nodes.map(n => n.html)}`))"
    )
    return found


def reach(page: Page, name: str) -> None:
    """Press Tab until something of that name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and re.match(rf"{name}(?! each)", focused.evaluate(NAME)):
            return
    raise AssertionError(f"no Tab reaches {name}")


def test_a_record_is_explained_by_keyboard_alone_and_the_way_back_keeps_it(visits: Visits) -> None:
    page = visits()
    reach(page, "Name of source 1")
    page.keyboard.type("letter")
    reach(page, "Text of source 1")
    page.keyboard.type(RECORD)
    reach(page, "What the model is asked to do")
    page.keyboard.type(TASK)
    reach(page, "leave_one_out")
    page.keyboard.press("Space")
    expect(page.get_by_text("At most 5 calls")).to_be_visible()
    reach(page, "Explain")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Back to the question")).to_be_focused()
    for sentence in OUTPUT:
        expect(page.locator(".stage")).to_contain_text(sentence)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Text of source 1")).to_have_value(RECORD)
    expect(page.get_by_label("leave_one_out")).to_be_checked()
    expect(page.get_by_role("button", name="Explain", exact=True)).to_be_focused()


def test_every_state_is_axe_clean(visits: Visits) -> None:
    page = visits(refusal=True)
    page.get_by_label("Calls, at most").fill("many")
    assert not faults(page)
    fill(page)
    page.get_by_label("Calls, at most").fill("0")
    explain(page)
    page.get_by_role("alert").wait_for()
    page.emulate_media(color_scheme="dark")
    assert not faults(page)
    page.get_by_label("Calls, at most").fill("")
    explain(page)
    page.locator(".stage .whence").wait_for()
    assert not faults(page)


def test_files_become_sources_as_they_are_and_can_be_taken_away(visits: Visits) -> None:
    page = visits()
    page.get_by_label("What the model is asked to do").fill(TASK)
    files: list[FilePayload] = [
        {"name": name, "mimeType": "text/plain", "buffer": content}
        for name, content in (
            ('Mrs "Jones".txt', b"\xef\xbb\xbfalpha is here.\r\nSo it is.\r\n"),
            ("b.txt", b"gamma is there."),
            ("scan.dcm", b"\xff\xfe\x00\x80"),
        )
    ]
    page.get_by_label("Add files").set_input_files(files)
    expect(page.get_by_text("scan.dcm was not read")).to_be_visible()
    # On a slow machine the price is asked for between the two changes too.
    with page.expect_request(
        lambda request: "plans" in request.url and '"b.' not in str(request.post_data)
    ) as asked:
        page.evaluate(
            """() => {
              const dataTransfer = new DataTransfer();
              dataTransfer.items.add(new File(["It was dropped."], "c.txt"));
              const drop = {dataTransfer, bubbles: true, cancelable: true};
              document.body.dispatchEvent(new DragEvent("drop", drop));
            }"""
        )
        page.get_by_role("button", name="Remove source 2").click()
    answer = asked.value.response()
    assert answer is not None
    assert answer.ok
    # A quotation mark would end the name in the prompt; the mark of byte order is no text.
    assert json.loads(asked.value.post_data or "")["sources"] == [
        {"name": "Mrs _Jones_.txt", "text": "alpha is here.\r\nSo it is.\r\n"},
        {"name": "c.txt", "text": "It was dropped."},
    ]


def test_the_price_follows_what_is_chosen(visits: Visits) -> None:
    page = visits()
    price = page.locator(".price")
    expect(price).to_contain_text("Needs a record and a task.")
    fill(page)
    expect(price).to_contain_text("attention: 1 call")
    choose(page, "api")
    page.get_by_label("citations").check()
    page.get_by_label("leave_one_out").check()
    expect(price).to_contain_text(re.compile(r"At most 5 calls .* USD"))
    page.get_by_label("citations").uncheck()
    page.get_by_label("Explain each").select_option("word")
    page.get_by_label("Trace back to each").select_option("word")
    expect(price).to_contain_text(re.compile(r"At most \d\d calls"))
    expect(page.get_by_label("Keep the attention")).to_be_disabled()


def test_cancelling_stops_the_model_and_keeps_what_was_typed(visits: Visits, service: Server) -> None:
    page = visits()
    fill(page)
    choose(page, "stuck")
    explain(page)
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_focused()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_label("Text of source 1")).to_be_disabled()
    cancel.click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    service.wait_for(
        lambda: service.figure("whence_explanations_total", model="stuck", outcome="cancelled") == 1
    )
    expect(page.get_by_label("Text of source 1")).to_have_value(RECORD)
    choose(page, "fake")
    explain(page)
    expect(page.locator(".stage")).to_contain_text(OUTPUT[0])


def test_a_problem_says_what_to_do_and_is_gone_with_its_cause(visits: Visits) -> None:
    page = visits(refusal=True)
    fill(page)
    page.get_by_label("leave_one_out").check()
    page.get_by_label("Calls, at most").fill("1")
    explain(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("costs more calls")
    expect(alert).to_contain_text("Allow more, or ask for less")
    expect(alert).to_contain_text(re.compile("In the server's log: [0-9a-f-]{36}"))
    limit = page.get_by_label("Calls, at most")
    limit.fill("9")
    expect(alert).to_have_count(0)
    expect(page.locator(".price")).to_contain_text("At most 5 calls")
    for wrong in ("12.5", "-1", "many"):
        limit.fill(wrong)
        expect(limit).to_have_accessible_description(re.compile("needs a whole number"))
        expect(limit).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_role("button", name="Explain", exact=True)).to_be_disabled()
        expect(page.locator(".price")).to_contain_text("Needs another limit")
    limit.fill("")
    expect(limit).to_have_accessible_description("")
    expect(page.get_by_role("button", name="Explain", exact=True)).to_be_enabled()


def test_a_server_that_is_gone_is_named_as_such(context: BrowserContext, service: Server) -> None:
    page = context.new_page()
    page.goto(service.url)
    fill(page)
    context.set_offline(True)
    explain(page)
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached.")


def test_hostile_text_stays_text(visits: Visits, service: Server) -> None:
    page = visits()
    hostile = "\n".join(text for name, text in TEXTS.items() if name != "nul")
    fill(page, text=f"alpha {hostile}", task=TEXTS["script"])
    page.get_by_label("Name of source 1").fill(TEXTS["reordered"].replace("\u202e", "&"))
    page.get_by_label("Output to explain").fill(TEXTS["script"])
    page.get_by_label("Add files").set_input_files(
        {"name": "<img src=x onerror=globalThis.ran=1>.txt", "mimeType": "text/plain", "buffer": b"\xff"}
    )
    explain(page)
    expect(page.locator(".stage")).to_contain_text(TEXTS["script"])
    assert not page.evaluate(EXECUTED)
    assert "onerror" not in service.logged


def test_the_address_names_the_explanation_and_what_is_chosen_in_it(visits: Visits) -> None:
    page = visits(refusal=True)
    question = page.url
    fill(page)
    explain(page)
    chosen = page.locator(".stage .answer [aria-selected=true]")
    sources = page.get_by_role("tab", name="Sources", exact=True)
    page.locator(".stage .answer [role=option]").nth(1).click()
    expect(chosen).to_have_count(1)
    sources.click()
    expect(page).to_have_url(re.compile(r"#explanation=\w+&view=sources&chosen=target-1$"))
    address = page.url
    for _ in range(3):  # the view, the choice, the explanation
        page.go_back()
    expect(page).to_have_url(question)
    expect(page.get_by_label("Text of source 1")).to_have_value(RECORD)
    page.go_forward()
    expect(page.locator(".stage .answer [role=option]")).to_have_count(2)
    expect(chosen).to_have_count(0)
    page.go_forward()
    expect(chosen).to_contain_text(OUTPUT[1])
    page.go_forward()
    expect(sources).to_have_attribute("aria-selected", "true")

    page.get_by_role("button", name="Back to the question").click()
    expect(page).to_have_url(question)
    expect(page.get_by_label("What the model is asked to do")).to_have_value(TASK)
    page.go_back()
    expect(sources).to_have_attribute("aria-selected", "true")
    page.reload()
    expect(sources).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(address)
    page.go_back()
    expect(chosen).to_contain_text(OUTPUT[1])

    # A viewer that comes when the question is there again leaves the address alone.
    held: list[Route] = []
    page.route("**/viewer.js", lambda route: held.append(route))
    with page.expect_request("**/viewer.js"):
        page.reload()
    page.get_by_role("button", name="Back to the question").click()
    held[0].continue_()
    drawn = "import('./viewer.js').then(() => new Promise((done) => setTimeout(done, 200)))"
    assert page.evaluate(f"{drawn}.then(() => location.href)") == question

    page.evaluate("location.hash = 'explanation=gone&view=sources'")
    expect(page.get_by_role("alert")).to_contain_text("No explanation of this id is kept.")
    expect(page.get_by_label("Text of source 1")).to_be_hidden()
    page.get_by_role("button", name="Back to the question").click()
    expect(page.get_by_label("Text of source 1")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_heads_are_fetched_as_they_are_looked_at_and_saved_with_the_explanation(
    visits: Visits, tmp_path: Path
) -> None:
    page = visits()
    fill(page)
    page.get_by_label("Keep the attention").check()
    explain(page)
    with page.expect_response(re.compile(r"/v1/explanations/[^/]+/attention/decoder/0/0$")) as answer:
        page.get_by_role("tab", name="Heads").click()
    assert answer.value.ok

    def saved(label: str, kind: str) -> str:
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        assert re.fullmatch(rf"explanation-[\w-]+\.{kind}", download.value.suggested_filename)
        file = tmp_path / f"saved.{kind}"
        download.value.save_as(file)
        return file.read_text(encoding="utf-8")

    explanation = Explanation.model_validate_json(saved("as JSON", "json"))
    assert explanation.attention is not None
    assert explanation.attention[0].data[0].values is not None
    text = saved("as a file", "html")
    assert 'id="head-decoder-0-0"' in text
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in text


def test_the_key_is_asked_for_sent_and_kept_nowhere(start: Start, visits: Visits) -> None:
    key = secrets.token_urlsafe()
    server = start(f'[server]\napi_keys = ["{hash_key(key)}"]\n[models.fake]\nprovider = "fake"\n')
    page = visits(server, refusal=True)
    field = page.get_by_label("This server answers those who have a key")
    expect(page.get_by_label("Text of source 1")).to_have_count(0)
    field.fill("a wrong one")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This is no API key.")
    field.fill("wrong")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("An API key is needed.")
    field.fill(key)
    field.press("Enter")
    fill(page)
    explain(page)
    expect(page.locator(".stage")).to_contain_text(OUTPUT[0])
    # The key went with the page: it is asked for again, and then the explanation is there.
    page.reload()
    field.fill(key)
    field.press("Enter")
    expect(page.locator(".stage")).to_contain_text(OUTPUT[0])
    stored: list[Any] = page.evaluate(
        "[localStorage.length, sessionStorage.length, document.cookie, location.href, history.state]"
    )
    assert stored[:3] == [0, 0, ""]
    assert key not in json.dumps(stored)
    assert key not in server.logged
