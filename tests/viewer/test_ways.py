"""Ways through the viewer and the page: keys, matches, what is still being read, what comes too late."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from tests.api.server.conftest import start as start
from tests.viewer.conftest import Opens
from tests.viewer.explained import record, scored
from tests.viewer.hostile import hostile
from tests.viewer.test_heads import block_of, exported, several_blocks, shown
from tests.viewer.test_heatmap import wide
from tests.viewer.test_page import OUTPUT, RECORD, Visits, choose, explain, fill
from tests.viewer.test_page import service as service
from tests.viewer.test_page import visits as visits

from whence import Explanation
from whence.explain.render.scale import step
from whence.explain.render.viewer import bundle, compact
from whence.explain.render.words import words

MANY = 10_345
DROPPED = "It was dropped."
DROP = f"""() => {{
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(["{DROPPED}"], "dropped.txt"));
  document.body.dispatchEvent(new DragEvent("drop", {{ dataTransfer, bubbles: true, cancelable: true }}));
}}"""
REST_MS = 400  # as in work.ts


def press(page: Page, key: str, view: str) -> None:
    """A key leads to a view, and the next one is heard: the focus is in the viewer, and in sight."""
    page.keyboard.press(key)
    expect(page.locator(f"#whence-{view}")).to_be_visible()
    # What follows a change of the view comes with the next frame.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    expect(page.locator(".whence:focus")).to_have_count(1)


@pytest.mark.parametrize("focused", ["button.quote", "button.jump", ".sources [role=option]"])
def test_keys_work_on_wherever_the_focus_was(opens: Opens, focused: str) -> None:
    page = opens(record())
    for key, view in (("2", "sources"), ("3", "heatmap"), ("4", "heads")):
        page.locator("#whence-record").locator(focused).last.focus()
        press(page, key, view)
        press(page, "1", "record")
    press(page, "2", "sources")
    page.locator(".sources-view .jump").first.focus()
    press(page, "4", "heads")


def test_the_viewer_itself_has_no_outline_and_what_is_in_it_has(opens: Opens) -> None:
    page = opens(record())
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    viewer = page.locator(".whence:focus")
    expect(viewer).to_have_count(1)
    page.keyboard.press("Shift")
    assert page.evaluate(outline) == "none"
    page.locator("button.quote").first.focus()
    assert page.evaluate(outline) != "none"
    press(page, "2", "sources")
    assert page.evaluate("document.activeElement.matches(':focus-visible')")
    assert page.evaluate(outline) == "none"


def test_matches_are_walked_by_letters_and_another_search_begins_anew(opens: Opens) -> None:
    page = opens(record())
    texts = [record().output.text, *(source.text or "" for source in record().sources)]
    first, other = (sum(text.lower().count(query) for text in texts) for query in ("the patient", "the"))
    count = page.locator(".search .count")
    page.get_by_role("searchbox").fill("the patient")
    page.locator(".whence").focus()
    for key, number in (("n", 2), ("n", 3), ("p", 2), ("p", 1), ("p", first), ("n", 1), ("n", 2)):
        page.keyboard.press(key)
        expect(count).to_have_text(f"{number} of {first}")
    page.get_by_role("searchbox").fill("the")
    expect(count).to_have_text(f"1 of {other}")
    assert page.evaluate("[...CSS.highlights.get('whence-match')].map(String)") == ["The"]


def test_every_match_is_counted_and_brought_into_sight(opens: Opens) -> None:
    page = opens(wide(MANY, 7))
    passages = page.locator(".sources [role=option]")
    expect(passages.last).not_to_be_in_viewport()
    search = page.get_by_role("searchbox")
    search.fill("a")
    count = MANY + record().output.text.lower().count("a")
    expect(page.locator(".search .count")).to_have_text(f"1 of {count}")
    search.press("Shift+Enter")
    expect(page.locator(".search .count")).to_have_text(f"{count} of {count}")
    expect(passages.last).to_be_in_viewport()
    expect(passages.first).not_to_be_in_viewport()


@pytest.mark.parametrize("before", ["record", "heatmap"])
def test_a_match_is_in_sight_when_the_record_is(opens: Opens, before: str) -> None:
    page = opens(wide(3000, 7), state=f"#view={before}")
    page.keyboard.press("3")
    page.get_by_role("searchbox").fill("a")
    page.locator(".whence").focus()
    page.keyboard.press("p")
    page.keyboard.press("1")
    expect(page.locator(".sources [role=option]").last).to_be_in_viewport()


def test_a_match_is_brought_into_sight_in_both_columns_of_heads(opens: Opens) -> None:
    page = opens(record(), state="#view=heads&words=no&mask-sink=no&mask-special=no")
    shown(page)
    tokens = block_of(record()).keys
    text = record().sources[0].text or ""
    query = "the patient"
    places = [
        (source, own.start())
        for source, searched in ((None, record().output.text), ("s1", text))
        for own in re.finditer(query, searched, re.IGNORECASE)
    ]
    page.get_by_role("searchbox").fill(query)
    page.locator(".whence").focus()
    reached = []
    for at, (source, first) in enumerate(places):
        if at > 0:
            page.keyboard.press("n")
        expect(page.locator(".search .count")).to_have_text(f"{at + 1} of {len(places)}")
        (index,) = (
            index
            for index, token in enumerate(tokens)
            if token.part in ("source", "output")
            and token.source == source
            and token.start <= first < token.end
        )
        reached.append(index)
        for side in ("query", "key"):
            expect(page.locator(f"#heads-{side}-{index}")).to_be_in_viewport()
    rows = page.locator(".of-key .heads-tokens").evaluate("e => e.clientHeight / 24")
    assert max(reached) - min(reached) > rows, "all of them are in sight at once"


def test_zoom_and_pan_by_keys_are_told(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap&picture=attention&words=no")
    count = len(block_of(record()).keys)
    told = page.locator("[role=status]")
    picture = page.locator(".plot-picture")
    picture.focus()
    start, seen = count / 6, count / 1.5
    for key, down, across, size in (
        ("+", start, start, seen),
        ("Shift+ArrowDown", start + seen / 4, start, seen),
        ("Shift+ArrowLeft", start + seen / 4, 0, seen),
        ("-", 0, 0, count),
        ("+", start, start, seen),
        ("0", 0, 0, count),
    ):
        picture.press(key)
        rows, columns = (
            f"{math.floor(side + 1e-6) + 1} to {math.ceil(side + size - 1e-6)} of {count}"
            for side in (down, across)
        )
        expect(told).to_have_text(f"rows {rows}, columns {columns}")


def test_bars_of_sources_follow_the_scale(opens: Opens) -> None:
    page = opens(hostile(), state="#view=sources&mask-sink=no&mask-special=no")
    shares = hostile().shares(0).mean(axis=0)
    sums = np.sort([shares[:-2].sum(), shares[-2], shares[-1]])[::-1]
    steps = {
        "linear": [step(float(share)) for share in sums],
        "log": np.ceil(5 * np.log(2 * sums / sums[-1]) / np.log(2 * sums[0] / sums[-1])).astype(int).tolist(),
        "percentile": [5, 4, 2],
    }
    assert len(set(map(tuple, steps.values()))) == 3
    bars = page.locator(".sources-view .share div")
    for scale, wanted in steps.items():
        page.get_by_label("Scale").select_option(scale)
        for at, own in enumerate(wanted):
            expect(bars.nth(at)).to_have_class(f"s{own}")
    width = "e => parseFloat(e.style.width)"
    assert [bar.evaluate(width) for bar in bars.all()] == pytest.approx((100 * sums).tolist(), rel=1e-4)


def test_what_speaks_against_looks_other_without_colours(opens: Opens) -> None:
    weak = scored((1, 0.06, -0.06, 0.3, -0.4), (1, -0.06, 0.06, -0.4, 0.3), (1, 0, 0, 0, 0))
    page = opens(weak, state="#chosen=target-0")
    page.emulate_media(forced_colors="active")
    line = (
        "e => { const {textDecorationLine: l, textDecorationStyle: s} = getComputedStyle(e); return [l, s]; }"
    )
    passages = page.locator(".sources [role=option]").all()
    shades = [passage.get_attribute("class") or "" for passage in passages]
    assert [shade[0] for shade in shades] == ["s", "s", "n", "s", "n"]
    assert shades[1][1:] == shades[2][1:] < "3"
    for passage, shade in zip(passages, shades, strict=True):
        decoration, style = passage.evaluate(line)
        assert decoration == "underline"
        assert (style == "wavy") == (shade[0] == "n")
    passages[1].click()
    answer = page.locator(".answer [role=option]")
    assert (answer.nth(0).get_attribute("class"), answer.nth(1).get_attribute("class")) == ("s1", "n1")
    assert answer.nth(0).evaluate(line) != answer.nth(1).evaluate(line)


def test_samples_of_heads_are_told_apart(opens: Opens) -> None:
    """By their colour, and the ninth from the first by more: there are only eight."""
    page = opens(several_blocks(), state="#view=heads")
    shown(page)
    looks = page.locator(".pickers svg path").evaluate_all(
        "all => all.map(e => [getComputedStyle(e), e]).map(([s, e]) => "
        "[s.stroke, [e.getAttribute('d'), s.strokeWidth, s.strokeDasharray].join(' ')])"
    )
    assert len(looks) == block_of(several_blocks()).heads == 12
    assert len(set(map(tuple, looks))) == 12
    for first, ninth in zip(looks, looks[8:], strict=False):
        assert first[1] != ninth[1]


class Policy(HTMLParser):
    """What the policy of a page says, by its directives."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.said: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            for directive in (given["content"] or "").split(";"):
                name, _, value = directive.strip().partition(" ")
                self.said[name] = value


def test_no_text_can_become_markup_in_the_file(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "e.html"
    record().save(file)
    said = Policy(file.read_text(encoding="utf-8")).said
    assert said["default-src"] == said["base-uri"] == said["form-action"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", said["script-src"])
    assert (said["require-trusted-types-for"], said["trusted-types"]) == ("'script'", "'none'")
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.as_uri())
    refused = "(does) => { try { does(); return ''; } catch (error) { return error.name; } }"
    for does in ("document.body.innerHTML = '<b>'", "trustedTypes.createPolicy('p', {})"):
        assert page.evaluate(f"({refused})(() => {does})") == "TypeError"
    context.close()


HELD = """() => {
  const Real = DecompressionStream;
  let free = Promise.resolve();
  globalThis.hold = () => { free = new Promise((release) => { globalThis.release = release; }); };
  globalThis.DecompressionStream = class {
    constructor(format) {
      const { readable, writable } = new Real(format);
      const gate = free;
      this.writable = writable;
      this.readable = {
        getReader() {
          const reader = readable.getReader();
          return { read: () => gate.then(() => reader.read()), cancel: () => reader.cancel() };
        },
      };
    }
  };
}"""


def test_heads_are_called_what_they_are_while_others_are_read(context: BrowserContext, opens: Opens) -> None:
    context.add_init_script(f"({HELD})()")
    page = opens(several_blocks(), state="#view=heads&words=no&mask-sink=no&mask-special=no")
    said = page.locator(".heads-said")
    busy = page.locator(".heads [aria-busy=true]").filter(has=said)
    layers = page.get_by_role("group", name="Layers")
    expect(said).to_contain_text("layer 0, head 0")
    expect(busy).to_have_count(0)
    before = said.inner_text()
    page.evaluate("hold()")
    layers.get_by_role("button", name="1", exact=True).click()
    expect(busy).to_have_count(1)
    expect(said).to_have_text(before)
    found = exported(page)
    assert "layer 0," in found["about"]["attention"]
    block = block_of(several_blocks())
    assert found["lines"][0]["weight"] == pytest.approx(block.weights(0, 0).max(), rel=1e-5)
    page.evaluate("release()")
    expect(busy).to_have_count(0)
    expect(said).to_contain_text("layer 1, head 0")
    found = exported(page)
    assert "layer 1," in found["about"]["attention"]
    assert found["lines"][0]["weight"] == pytest.approx(block.weights(1, 0).max(), rel=1e-5)


@cache
def damaged() -> Explanation:
    """The weights of layer 1 cannot be read."""
    (block,) = record().attention or ()
    data = tuple(head.model_copy(update={"values": "AAAA"} if head.layer == 1 else {}) for head in block.data)
    return record().model_copy(update={"attention": (block.model_copy(update={"data": data}),)})


def test_no_picture_stands_beside_what_cannot_be_shown(opens: Opens) -> None:
    page = opens(damaged(), state="#view=heatmap&picture=attention")
    picture = page.locator(".plot-picture")
    layers = page.get_by_role("group", name="Layers")
    expect(picture).to_be_visible()
    layers.get_by_role("button", name="1", exact=True).click()
    expect(page.locator(".heatmap")).to_contain_text("This attention cannot be shown")
    expect(picture).to_have_count(0)
    layers.get_by_role("button", name="2", exact=True).click()
    expect(picture).to_be_visible()
    expect(page.locator(".heatmap")).not_to_contain_text("cannot be shown")
    expect(page.locator(".heatmap h2")).to_contain_text("layer 2, head 0")


def sources(page: Page) -> list[str]:
    """What the sources are called, whether they are in sight or not."""
    found = page.locator(".source").evaluate_all("all => all.map(e => e.ariaLabel)")
    return [str(name) for name in found]


@pytest.fixture
def planned(context: BrowserContext) -> list[str]:
    """What plans were asked for."""
    asked: list[str] = []
    context.on(
        "request",
        lambda request: asked.append(request.post_data or "") if request.url.endswith("/plans") else None,
    )
    return asked


def test_a_file_is_taken_only_where_it_is_seen_to_arrive(visits: Visits, planned: list[str]) -> None:
    page = visits()
    fill(page)
    expect(page.locator(".price")).to_contain_text("attention: 1 call")
    explain(page)
    page.locator(".stage .whence").wait_for()
    asked = len(planned)
    page.evaluate(DROP)
    page.wait_for_timeout(3 * REST_MS)
    assert sources(page) == ["Source 1"]
    page.get_by_role("button", name="Back to the question").click()

    choose(page, "stuck")
    explain(page)
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    page.evaluate(DROP)
    page.wait_for_timeout(3 * REST_MS)
    assert sources(page) == ["Source 1"]
    cancel.click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    assert not [body for body in planned[asked:] if json.loads(body)["model"] == "fake"]
    assert not [body for body in planned if DROPPED in body]

    choose(page, "fake")
    with page.expect_request(lambda request: DROPPED in (request.post_data or "")):
        page.evaluate(DROP)
    assert sources(page) == ["Source 1", "Source 2"]


def test_a_run_that_ends_elsewhere_leaves_what_is_read_in_sight(visits: Visits) -> None:
    page = visits()
    fill(page)
    explain(page)
    expect(page.locator(".stage .answer")).to_contain_text(OUTPUT[0])
    first = page.url
    page.get_by_role("button", name="Back to the question").click()
    held: list[Route] = []
    page.route("**/v1/explanations", lambda route: held.append(route))
    page.get_by_label("Output to explain").fill("Another output.")
    with page.expect_request("**/v1/explanations"):
        explain(page)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.go_back()
    expect(page.locator(".stage .answer")).to_contain_text(OUTPUT[0])
    with page.expect_event("requestfinished", lambda request: request.method == "POST"):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert page.url == first
    expect(page.locator(".stage .answer")).to_contain_text(OUTPUT[0])
    page.get_by_role("button", name="Back to the question").click()
    expect(page.get_by_label("Text of source 1")).to_have_value(RECORD)
    link = page.get_by_role("link", name="See the explanation")
    expect(link).to_have_attribute("href", re.compile(r"^#explanation=\w+$"))
    assert (link.get_attribute("href") or "") not in first
    link.click()
    expect(page.locator(".stage .answer")).to_contain_text("Another output.")


def test_the_plan_lists_the_call_that_writes_the_output(visits: Visits) -> None:
    page = visits()
    fill(page)
    price = page.locator(".price")
    listed = price.locator("li")
    expect(price).to_contain_text("attention: 1 call")
    assert listed.all_inner_texts() == ["to write the output: 1 call", "attention: 1 call"]
    expect(price.locator("strong")).to_have_text("2 calls")
    page.get_by_label("Output to explain").fill("The dose is low.")
    expect(price.locator("strong")).to_have_text("1 call")
    assert listed.all_inner_texts() == ["attention: 1 call"]


RENDERED = """async ([script, explanation, words]) => {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const traits = { explanation, words };
  const model = { get: (name) => traits[name], send() {}, on() {}, off() {} };
  const el = document.body.appendChild(document.createElement("div"));
  document.body.dataset.jpThemeLight = "false";
  await widget.render({ model, el });
  const viewer = el.shadowRoot.querySelector(".whence");
  const ground = () => getComputedStyle(viewer).backgroundColor;
  const dark = ground();
  document.body.dataset.jpThemeLight = "true";
  await new Promise((done) => setTimeout(done, 50));
  return [dark, ground()];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_widget_is_as_dark_as_jupyterlab(browser: Browser, scheme: str) -> None:
    """Whatever the browser prefers."""
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    given = [bundle("viewer.js"), json.dumps(compact(record())), words()]
    assert page.evaluate(RENDERED, given) == ["rgb(17, 22, 28)", "rgb(255, 255, 255)"]
    context.close()
