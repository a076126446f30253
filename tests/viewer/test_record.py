"""The view of record and summary: what is chosen, what is shaded, what is listed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.viewer.conftest import Opens
from tests.viewer.explained import record
from tests.viewer.hostile import EXECUTED, TEXTS, hostile

from whence.explain.render.ranking import rank
from whence.explain.render.scale import percent, step
from whence.explain.render.visible import visible

RAW = "mask-sink=no&mask-special=no"


def output(page: Page) -> Locator:
    return page.locator(".answer [role=option]")


def passages(page: Page) -> Locator:
    return page.locator(".sources [role=option]")


def listed(page: Page) -> list[str]:
    return page.locator(".summary ol .share").all_inner_texts()


@pytest.mark.parametrize("result", [0, 1], ids=["attention", "leave_one_out"])
def test_a_chosen_sentence_shades_the_record_and_lists_its_strongest_passages(
    opens: Opens, result: int
) -> None:
    page = opens(record(), state=f"#result={result}&{RAW}")
    for target in (0, 3):
        output(page).nth(target).click()
        balance = rank(record(), result, 5).balances[target]
        assert listed(page) == [percent(ranked.share) for ranked in balance.top]
        shares = record().shares(result)[target]
        for segment, share in enumerate(shares):
            shade = passages(page).nth(segment).get_attribute("class") or ""
            wanted = f"s{step(float(share))}" if step(float(share)) else ""
            assert shade == wanted or (share == 0 and shade.startswith("n"))
        assert output(page).nth(target).get_attribute("aria-selected") == "true"
        for ranked in balance.top:
            assert record().segment_text(ranked.segment).strip() in page.inner_text(".summary")


def test_a_chosen_passage_shades_the_sentences_and_gives_their_shares(opens: Opens) -> None:
    page = opens(record(), state="#" + RAW)
    passages(page).nth(0).click()
    shares = record().shares(0)[:, 0]
    assert listed(page) == [percent(float(share)) for share in sorted(shares, reverse=True)[:5]]
    for target, share in enumerate(shares):
        assert (output(page).nth(target).get_attribute("class") or "") == (
            f"s{step(float(share))}" if step(float(share)) else ""
        )
    passages(page).nth(0).click()
    expect(passages(page).nth(0)).not_to_have_attribute("aria-selected", "true")


def test_all_of_it_by_keyboard_alone(opens: Opens) -> None:
    page = opens(record())
    expect(page.locator(".whence")).to_be_focused()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.answer [role=option]')"):
            break
    expect(output(page).nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(output(page).nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    expect(output(page).nth(2)).to_have_attribute("aria-selected", "true")
    expect(page.locator("[role=status]").first).to_contain_text("Chosen: sentence 3")
    page.keyboard.press("End")
    page.keyboard.press("Space")
    expect(output(page).last).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(output(page).last).not_to_have_attribute("aria-selected", "true")
    # The jump link brings the passage into sight, and the keyboard there.
    page.locator(".summary .jump").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".sources [role=option]:focus")).to_have_count(1)
    expect(page.locator(".reading")).to_contain_text("of the evidence for the whole output")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(passages(page).first).to_have_attribute("aria-selected", "true")
    expect(page.locator(".summary")).to_contain_text("The chosen passage")


def test_a_word_is_chosen_where_the_token_level_is_kept(opens: Opens) -> None:
    page = opens(record())
    page.get_by_label("Choose by").select_option("word")
    words = record().output.text.split()
    expect(output(page)).to_have_text(words)
    output(page).nth(4).click()
    expect(page.locator(".balance")).to_contain_text(f"“{words[4]}”")
    assert page.evaluate("location.hash").startswith("#chosen=")
    page.get_by_label("Method").select_option(index=1)
    expect(page.get_by_label("Choose by")).to_have_count(0)


def test_the_pointer_reads_a_share_and_a_score(opens: Opens) -> None:
    page = opens(record(), state=f"#result=1&chosen=target-1&{RAW}")
    passages(page).nth(2).hover()
    share = percent(float(record().shares(1)[1][2]))
    expect(page.locator(".reading")).to_contain_text(f"{share} of the evidence for sentence 2; score ")
    expect(page.locator(".reading")).to_contain_text("nats")


def test_the_scale_changes_the_shades_and_says_so(opens: Opens) -> None:
    page = opens(record(), state="#chosen=target-0")
    page.get_by_label("Scale").select_option("percentile")
    shades = {passages(page).nth(at).get_attribute("class") for at in range(passages(page).count())}
    assert {"s1", "s2", "s3", "s4", "s5"} <= shades
    expect(page.locator(".legend")).to_contain_text("a fifth of the passages")


@pytest.mark.parametrize("state", ["#chosen=segment-0", "#result=1&chosen=0-5"])
def test_hostile_text_is_text(opens: Opens, state: str) -> None:
    page = opens(hostile(), state=state)
    for at in range(page.locator(".text > div").count()):
        page.locator(".text > div").nth(at).scroll_into_view_if_needed()
    passages(page).nth(1).click()
    page.get_by_label("Search the output and the sources").fill("</script>")
    assert not page.evaluate(EXECUTED)
    assert page.locator(".whence img, .whence script, .whence style").count() == 0
    drawn = page.locator(".sources .text").first.text_content() or ""
    assert drawn.replace("\r", "") == visible("\n".join(TEXTS.values()))
