"""What all views have in common: what is always in sight, keys, address, search, print, accessibility."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.viewer.conftest import Opens
from tests.viewer.explained import record
from tests.viewer.hostile import EXECUTED, hostile
from tests.viewer.needed import axe, missing

from whence import Explanation
from whence.explain.render import wording
from whence.explain.render.scale import percent
from whence.explain.render.viewer import to_viewer
from whence.explain.render.visible import visible

PDFTOTEXT = shutil.which("pdftotext")
VIEWS = ["Record and summary", "Sources", "Heatmap", "Heads"]


def hash_of(page: Page) -> str:
    return str(page.evaluate("location.hash"))


def test_what_must_be_known_is_in_sight_in_every_view(opens: Opens) -> None:
    page = opens(record())
    result = record().results[0]
    for view in VIEWS:
        page.get_by_role("tab", name=view).click()
        for text in (
            wording.TITLES[result.method.evidence],
            wording.EVIDENCE[result.method.evidence][1:],
            result.caveats[0],
            "elsewhere",
            "Fidelity",
            "Groundedness",
        ):
            expect(page.get_by_text(text).first).to_be_in_viewport()


def test_the_head_stays_in_sight_and_nothing_is_wider_than_the_page(opens: Opens) -> None:
    page = opens(hostile())
    for width, height in ((1280, 800), (700, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.locator(".sources [role=option]").last.scroll_into_view_if_needed()
        expect(page.locator("h1")).to_be_in_viewport()
        expect(page.locator(".caveats")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_results_are_switched_by_mouse_and_by_key(opens: Opens) -> None:
    page = opens(record())
    first, second = record().results
    expect(page.locator("h1")).to_have_text(wording.TITLES[first.method.evidence])
    page.get_by_label("Method").select_option(index=1)
    expect(page.locator("h1")).to_have_text(wording.TITLES[second.method.evidence])
    expect(page.get_by_text(second.caveats[0])).to_be_visible()
    page.locator("h1").click()
    page.keyboard.press("m")
    expect(page.locator("h1")).to_have_text(wording.TITLES[first.method.evidence])


def test_all_caveats_are_one_press_away(opens: Opens) -> None:
    page = opens(hostile())
    first, other = (visible(caveat) for caveat in hostile().results[0].caveats)
    caveats = page.get_by_role("region", name="Read this first")
    expect(caveats).to_contain_text(wording.CUT)
    expect(caveats).to_contain_text(wording.GIVEN)
    expect(caveats.get_by_text(first)).to_be_visible()
    expect(caveats.get_by_text(other)).to_be_hidden()
    caveats.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(caveats.get_by_text(other)).to_be_visible()


def test_the_tabs_by_mouse_by_arrows_and_by_digits(opens: Opens) -> None:
    page = opens(record())
    for name in VIEWS:
        page.get_by_role("tab", name=name).click()
        expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name=VIEWS[0])).to_be_focused()
    expect(page.get_by_role("tab", name=VIEWS[0])).to_have_attribute("aria-selected", "true")
    for number, name in enumerate(VIEWS, start=1):
        page.keyboard.press(str(number))
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("status").first).to_have_text(name)


def test_single_keys_can_be_turned_off(opens: Opens) -> None:
    page = opens(record())
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Single letters").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("2")
    expect(page.get_by_role("tab", name=VIEWS[0])).to_have_attribute("aria-selected", "true")


def test_search_counts_goes_round_and_stays_out_of_the_address(opens: Opens) -> None:
    page = opens(record())
    page.keyboard.press("/")
    page.keyboard.type("the PATIENT")
    texts = [record().output.text, *(source.text or "" for source in record().sources)]
    count = sum(text.lower().count("the patient") for text in texts)
    assert count > 2
    expect(page.locator(".search .count")).to_have_text(f"1 of {count}")
    painted = "[...CSS.highlights.get('whence-found')].map(String).map((text) => text.toLowerCase())"
    assert page.evaluate(painted) == ["the patient"] * count
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".search .count")).to_have_text(f"{count} of {count}")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Next match").click()
    expect(page.locator(".search .count")).to_have_text(f"2 of {count}")
    assert "patient" not in page.url.lower()


def test_the_address_keeps_the_state_and_back_undoes_a_step(opens: Opens) -> None:
    page = opens(record())
    assert hash_of(page) == ""
    page.locator(".answer [role=option]").nth(1).click()
    page.get_by_label("Scale").select_option("log")
    page.get_by_role("tab", name="Sources").click()
    kept = hash_of(page)
    assert kept == "#view=sources&chosen=target-1&scale=log"
    page.go_back()
    expect(page.get_by_role("tab", name=VIEWS[0])).to_have_attribute("aria-selected", "true")
    page.go_forward()
    expect(page.locator(".sources-view h2")).to_contain_text("sentence 2")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert hash_of(page) == kept
    expect(page.locator(".sources-view h2")).to_contain_text("sentence 2")
    expect(page.get_by_label("Scale").locator("option:checked")).to_have_text("log")


def test_damaged_addresses_are_ignored(opens: Opens) -> None:
    page = opens(record())
    clean = page.url
    for damaged in (
        "#view=__proto__&result=9&chosen=target-999&scale=cubic",
        "#chosen=segment--1&result=-1&renormalised=maybe&block=7&layers=x",
        "#chosen=9-2&view=<img src=x onerror=globalThis.ran=1>",
        "#%E0%A4%A&result=1e3&layers=" + "9" * 400,
    ):
        page.evaluate("(hash) => { location.hash = hash }", damaged)
        expect(page.get_by_role("tab", name=VIEWS[0])).to_have_attribute("aria-selected", "true")
        expect(page.locator(".answer [aria-selected]")).to_have_count(0)
        expect(page).to_have_url(clean)
        page.reload()
        page.wait_for_selector("html[data-ready]")
    assert not page.evaluate(EXECUTED)


def test_masks_and_shares_say_what_they_do(opens: Opens) -> None:
    page = opens(hostile(), state="#chosen=target-0")
    outside = hostile().results[0].scores.elsewhere
    assert outside is not None
    expect(page.locator(".balance")).to_contain_text(f"{percent(outside[0].total)} masked")
    page.get_by_label("Shares").select_option("renormalised: of what is shown")
    expect(page.locator(".balance")).to_contain_text(
        "Of what is shown for sentence 1: 100\N{NO-BREAK SPACE}%"
    )
    page.get_by_label("Mask the first token").uncheck()
    page.get_by_label("Mask special tokens").uncheck()
    expect(page.locator(".balance")).not_to_contain_text("masked")


def test_dark_follows_the_host(opens: Opens) -> None:
    page = opens(record())
    ground = "getComputedStyle(document.querySelector('.whence')).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_print_has_every_caveat_on_page_one_and_the_record_whole(
    opens: Opens, tmp_path: Path, scheme: Any
) -> None:
    if PDFTOTEXT is None:
        missing("pdftotext: apt-get install poppler-utils")
    page = opens(record(), state="#chosen=target-0")
    page.emulate_media(color_scheme=scheme)
    pdf = tmp_path / "printed.pdf"
    page.pdf(path=pdf, format="A4", print_background=True)

    def text(*options: str) -> str:
        command = [PDFTOTEXT, *options, str(pdf), "-"]
        return " ".join(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())  # noqa: S603

    for caveat in record().results[0].caveats:
        assert caveat in text("-l", "1")
    last = record().segment_text(len(record().segments) - 1)
    assert " ".join(last.split()) in text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, tmp_path: Path, scheme: Any) -> None:
    file = tmp_path / "viewer.html"
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    given: list[tuple[Explanation, str]] = [
        (record(), "#chosen=target-1&result=1"),
        (hostile(), "#chosen=segment-0"),
        (hostile(), "#view=sources"),
    ]
    for explanation, state in given:
        file.write_text(to_viewer(explanation), encoding="utf-8")
        page.goto("about:blank")
        page.goto(f"{file.as_uri()}{state}")
        page.wait_for_selector("html[data-ready]")
        page.evaluate(axe())
        found = page.evaluate("async () => (await axe.run()).violations")
        assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []
    context.close()
