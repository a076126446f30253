"""Single heads: the lines are the model's weights, the strongest first, and what is missing is said."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect
from tests.viewer.conftest import Opens
from tests.viewer.explained import record
from tests.viewer.hostile import EXECUTED, hostile
from tests.viewer.needed import axe

from whence import AttentionBlock, Explanation, KeepAttention
from whence.explain.keeper import TensorKeeper
from whence.explain.render.scale import percent
from whence.explain.render.viewer import to_viewer
from whence.explain.schema import Cost
from whence.providers.observations import Block, BlockName, Token

MOST_LINES = 5000
RAW = "&mask-sink=no&mask-special=no&words=no"

Matrix = NDArray[np.float64]


@cache
def several_blocks(limit_bytes: int = 1 << 24) -> Explanation:
    """As of an encoder-decoder with 12 heads: seeded weights of three kinds, over tokens of two texts."""
    rng = np.random.default_rng(5)
    read = [
        Token(part="special", text="<s>"),
        *(Token(part="instruction", text=f"read{at}") for at in range(17)),
    ]
    written = [
        Token(part="sink", text="<pad>"),
        *(Token(part="template", text=f"said{at}") for at in range(8)),
    ]
    shapes: dict[BlockName, tuple[Sequence[Token], Sequence[Token]]] = {
        "encoder": (read, read),
        "decoder": (written, written),
        "cross": (written, read),
    }
    keeper = TensorKeeper(KeepAttention(limit_bytes=limit_bytes), ids=["s1", "s2", "s3"])
    wanted = keeper.begin(
        [
            Block(
                name=name,
                layers=(0, 1, 2),
                heads=12,
                queries=tuple(queries),
                keys=tuple(keys),
                explaining=(1, 2) if name == "cross" else (),
            )
            for name, (queries, keys) in shapes.items()
        ]
    )
    for name, (queries, keys) in shapes.items():
        for layer in range(3):
            for head in range(12):
                raw = rng.random((len(queries), len(keys))) ** 4
                raw = np.tril(raw) if name == "decoder" else raw
                weights = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
                keeper.see(name, layer, head, weights[list(wanted[name])])
    return hostile().model_copy(
        update={
            "attention": keeper.finish(),
            "model": "t",
            "cost": Cost(calls=1, seconds=1),
            "created_at": datetime(2026, 1, 2, tzinfo=UTC),
        }
    )


def block_of(explanation: Explanation, at: int = 0) -> AttentionBlock:
    assert explanation.attention is not None
    return explanation.attention[at]


def exported(page: Page, kind: str = "Data (JSON)") -> Any:
    """What the menu saves."""
    page.locator("summary", has_text="Export").press("Enter")
    with page.expect_download() as started:
        page.get_by_role("button", name=kind).press("Enter")
    text = Path(started.value.path()).read_text(encoding="utf-8")
    if not kind.startswith("Data"):
        return text
    found = json.loads(text)
    queries, keys = ([item["number"] for item in found["items"][name]] for name in ("queries", "keys"))
    found["lines"] = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    for line in found["lines"]:  # from what they are called to where they stand
        line |= {"query": queries.index(line["query"]), "key": keys.index(line["key"])}
    return found


def assert_lines(found: Any, expected: dict[int, Matrix]) -> None:
    """Each line has its cell's value, no other cell's is greater, and all are drawn where there is room."""
    cells = np.sort(np.concatenate([matrix.ravel() for matrix in expected.values()]))[::-1]
    weights = np.array([line["weight"] for line in found["lines"]])
    wanted = cells[cells > 0]
    assert found["lines_in_all"] == len(wanted)
    np.testing.assert_allclose(weights, wanted[:MOST_LINES], rtol=1e-5)
    for line in found["lines"]:
        assert line["weight"] == pytest.approx(expected[line["head"]][line["query"], line["key"]], rel=1e-5)
    assert len({(line["head"], line["query"], line["key"]) for line in found["lines"]}) == len(weights)


def shown(page: Page) -> str:
    expect(page.locator(".heads-said")).not_to_be_empty()
    return page.inner_text(".heads-said").replace("\xa0", " ")


def expect_heads(page: Page, *chosen: str) -> None:
    group = page.get_by_role("group", name="Heads")
    expect(group.get_by_role("button", pressed=True)).to_have_text(list(chosen))


def all_heads(page: Page) -> None:
    """At first there is one: the lines of all would hide each other."""
    expect_heads(page, "0")
    group = page.get_by_role("group", name="Heads")
    group.get_by_role("button", name="All").press("Enter")
    expect(group.get_by_role("button", pressed=False)).to_have_count(0)


def test_the_lines_are_the_strongest_weights_and_the_rest_is_said(opens: Opens) -> None:
    page = opens(record(), state=f"#view=heads&layers=2&heads=1.3{RAW}")
    block = block_of(record())
    expected = {head: block.weights(block.layers[2], head).astype(np.float64) for head in (1, 3)}
    said = shown(page)
    found = exported(page)
    assert found["about"]["attention"] == f"decoder, layer {block.layers[2]}, heads 1, 3"
    assert_lines(found, expected)
    rows = len(block.queries)
    assert [query["number"] for query in found["items"]["queries"]] == list(block.positions)
    drawn = sum(line["weight"] for line in found["lines"]) / (2 * rows)
    hidden = sum(matrix.sum() for matrix in expected.values()) / (2 * rows) - drawn
    count = found["lines_in_all"]
    greatest = percent(max(line["weight"] for line in found["lines"])).replace("\xa0", " ")
    first, _, second = said.partition(". The strongest")
    assert first == (
        f"decoder, layer 2, heads 1, 3: the 5,000 strongest of {count:,} lines are drawn, where one of their "
        f"tokens is in sight. They carry {drawn:.0%} of what each query gives; "
        f"the {count - MOST_LINES:,} that are not drawn carry {hidden:.0%}"
    ).replace("%", " %")
    assert second == f" has {greatest}; the scale is linear."


def test_masked_tokens_have_no_line_and_their_mass_is_said(opens: Opens) -> None:
    page = opens(record(), state="#view=heads&heads=0&words=no&renormalised=yes")
    block = block_of(record())
    weights = block.weights(block.layers[0], 0).astype(np.float64)
    masked = np.array([key.part in ("sink", "special") for key in block.keys])
    mass = weights[:, masked].sum() / len(weights)
    weights[:, masked] = 0
    sums = weights.sum(axis=1, keepdims=True)
    expected = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    said = shown(page)
    assert "of what each query gives to the keys that are shown" in said
    number = re.search(r"Masked: ([\d.]+) % of all attention, on the first token", said)
    assert number is not None
    assert float(number[1]) == pytest.approx(100 * mass, abs=0.6 if mass > 0.1 else 0.06)
    found = exported(page)
    assert_lines(found, {0: expected})
    assert {key["label"] for key in found["items"]["keys"] if key["masked"]} == {
        key.text for key, hidden in zip(block.keys, masked, strict=True) if hidden
    }
    page.get_by_label("Mask the first token").uncheck()
    expect(page.locator(".heads-said")).not_to_contain_text("on the first token")
    page.get_by_label("Mask special tokens").uncheck()
    expect(page.locator(".heads-said")).not_to_contain_text("Masked")


def test_what_is_masked_is_the_same_of_words_and_of_tokens(opens: Opens) -> None:
    block = block_of(record())
    masked = [key.part in ("sink", "special") for key in block.keys]
    mass = float(block.weights(block.layers[0], 0).astype(np.float64)[:, masked].sum(axis=1).mean())
    wanted = percent(mass).replace("\xa0", " ")
    for words in ("yes", "no"):
        page = opens(record(), state=f"#view=heads&words={words}")
        assert f"Masked: {wanted} of all attention" in shown(page)
    # Of one token alone, what is said is of its lines.
    page.locator(".of-query [role=option]").nth(9).click()
    lines = exported(page)
    assert 0 < len(lines["lines"]) < 50
    expect(page.locator(".heads-said")).to_contain_text(f"all {len(lines['lines'])} lines of ")
    assert f"Masked: {wanted} of all" in lines["about"]["lines"].replace("\xa0", " ")


def test_no_line_of_an_exported_picture_leaves_it(opens: Opens) -> None:
    """Lines end where their tokens are scrolled to, far beyond the picture: they are cut off there."""
    page = opens(record(), state="#view=heads&words=no&heads=all")
    all_shown = page.get_by_role("group", name="Heads").get_by_role("button", pressed=True)
    expect(all_shown).to_have_count(block_of(record()).heads + 1)
    assert shown(page)
    inner = re.search(r'<svg x="\d+" y="\d+" width="\d+" height="(\d+)">', exported(page, "Picture (SVG)"))
    assert inner is not None
    assert float(inner[1]) < 900


def test_a_match_is_brought_into_sight(opens: Opens) -> None:
    page = opens(record(), state="#view=heads")
    assert shown(page)
    last = block_of(record()).keys[-40].text.strip()
    page.get_by_role("searchbox").fill(last)
    for _ in range(3):
        page.get_by_role("searchbox").press("Shift+Enter")
        expect(page.locator(".of-key .hit").first).to_be_in_viewport()


def test_words_give_the_mean_and_get_the_sum_of_their_tokens(opens: Opens) -> None:
    page = opens(record(), state="#view=heads&heads=2&layers=1&mask-sink=no&mask-special=no")
    shown(page)
    found = exported(page)
    block = block_of(record())
    weights = block.weights(block.layers[1], 2).astype(np.float64)
    queries, keys = ([item["number"] for item in found["items"][name]] for name in ("queries", "keys"))
    assert len(keys) < len(block.keys)
    rows = [list(block.positions).index(position) for position in queries]
    sums = np.add.reduceat(weights, keys, axis=1)
    sizes = np.diff([*rows, len(weights)])[:, None]
    assert_lines(found, {2: np.add.reduceat(sums, rows, axis=0) / sizes})


def test_a_token_shows_all_its_lines_and_its_strongest_partners(opens: Opens) -> None:
    page = opens(record(), state=f"#view=heads&layers=1{RAW}")
    block = block_of(record())
    shown(page)
    all_heads(page)
    page.locator("#heads-query-9").click()
    panel = page.locator(".heads-partners")
    expect(panel).to_contain_text("looks at")
    heads = np.stack([block.weights(block.layers[1], head) for head in range(block.heads)])
    lines = exported(page)["lines"]
    assert {line["query"] for line in lines} == {9}
    assert len(lines) == np.count_nonzero(heads[:, 9])
    best = np.unravel_index(np.argmax(heads[:, 9]), heads[:, 9].shape)
    value = re.search(r"\(([\d.]+)\)", panel.locator("li").first.inner_text())
    assert value is not None
    assert float(value[1]) == pytest.approx(heads[:, 9][best], rel=5e-3)
    assert f"({best[1]})" in panel.locator("li button").first.inner_text()
    page.get_by_role("button", name="Show all lines again").click()
    page.locator("#heads-key-4").hover()
    expect(panel).to_contain_text("is looked at by")
    lines = exported(page)["lines"]
    assert len(lines) == np.count_nonzero(heads[:, :, 4])
    page.mouse.move(5, 5)
    expect(panel).to_contain_text("Point at a token")


def test_the_table_and_the_pictures_hold_the_lines(opens: Opens) -> None:
    page = opens(several_blocks(), state=f"#view=heads&block=2&heads=3.9{RAW}")
    shown(page)
    page.locator("summary", has_text="The lines as a table").press("Enter")
    cells = page.locator(".heads-table tbody tr").first.locator("td").all_inner_texts()
    found = exported(page)
    first = found["lines"][0]
    assert cells[2:] == [str(first["head"]), f"{first['weight']:.3g}"]
    assert cells[0] == f"{found['items']['queries'][first['query']]['label']} ({first['query']})"
    rows = exported(page, "Table (CSV)").splitlines()
    assert sum(not row.startswith("#") for row in rows) == len(found["lines"]) + 1
    drawn = exported(page, "Picture (SVG)")
    # Head 3 has straight lines, head 9 curves: eight colours would not tell it from head 1. One is a sample.
    assert drawn.count("<line ") == sum(line["head"] == 3 for line in found["lines"]) + 1
    assert drawn.count("<path ") == sum(line["head"] == 9 for line in found["lines"]) + 1
    assert "heads 3, 9" in drawn


def test_each_kind_of_attention_has_a_tab(opens: Opens) -> None:
    page = opens(several_blocks(), state="#view=heads")
    shown(page)
    all_heads(page)
    tabs = page.get_by_role("tablist", name="Attention").get_by_role("tab")
    assert [tab.split(":")[0] for tab in tabs.all_inner_texts()] == ["Encoder", "Decoder", "Cross"]
    tabs.first.focus()
    page.keyboard.press("End")
    expect(tabs.nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tabpanel", name="Cross")).to_be_visible()
    expect(page.locator(".of-query > p")).to_contain_text("9")
    expect(page.locator(".of-key > p")).to_contain_text("18")
    found = exported(page)
    block = block_of(several_blocks(), 2)
    keys = np.array([key.part != "special" for key in block.keys])
    assert_lines(found, {h: block.weights(0, h).astype(np.float64) * keys for h in range(12)})


def test_everything_is_done_by_keyboard(opens: Opens) -> None:
    page = opens(several_blocks(), state=f"#view=heads&block=1{RAW}")
    before = shown(page)
    page.get_by_role("group", name="Layers").get_by_role("button", name="0").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".heads-said")).not_to_have_text(before)
    assert "layer 1," in exported(page)["about"]["attention"]
    heads = page.get_by_role("group", name="Heads").get_by_role("button")
    heads.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect_heads(page, "1")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(heads.nth(11)).to_be_focused()
    page.get_by_label("choose several").press("Space")
    heads.nth(11).press("Space")
    expect_heads(page, "1", "11")
    expect(page.locator("[role=status]")).to_contain_text("Heads: 1, 11")
    heads.nth(1).press("Space")
    expect_heads(page, "11")
    heads.last.press("Enter")
    expect_heads(page, *map(str, range(12)), "All")
    queries = page.get_by_role("listbox", name="From the queries")
    queries.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[role=status]")).to_contain_text("said1 (2) gives")
    page.keyboard.press("Enter")
    expect(page.locator("#heads-query-2")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("listbox", name="To the keys")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".heads-partners h2")).to_contain_text("said7 (8)")
    page.keyboard.press("Escape")
    expect(page.locator("[aria-selected=true][role=option]")).to_have_count(0)


def test_what_a_limit_left_out_is_said(opens: Opens) -> None:
    explanation = several_blocks(limit_bytes=20_000)
    block = block_of(explanation)
    assert block.left_out is not None
    page = opens(explanation, state="#view=heads&layers=2")
    expect(page.locator(".heads .warning")).to_contain_text(block.left_out)


def test_hostile_tokens_are_text(opens: Opens) -> None:
    page = opens(hostile(), state="#view=heads&mask-special=no&words=no")
    shown(page)
    page.locator("#heads-query-0").hover()
    page.locator("#heads-query-8").click()
    page.locator("summary", has_text="The lines as a table").press("Enter")
    expect(page.locator(".heads-partners li").first).to_be_visible()
    text = page.inner_text(".heads")
    assert "<img src=x onerror" in text
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069]", text)
    assert "<img" not in exported(page, "Picture (SVG)")
    assert not page.evaluate(EXECUTED)


@pytest.mark.parametrize("forced", [False, True])
def test_the_lines_follow_the_scheme(opens: Opens, forced: bool) -> None:
    page = opens(several_blocks(), state="#view=heads&heads=0")
    page.emulate_media(color_scheme="light", forced_colors="active" if forced else "none")
    shown(page)
    light = page.locator("canvas").screenshot()
    page.emulate_media(color_scheme="dark", forced_colors="active" if forced else "none")
    page.wait_for_timeout(150)
    assert page.locator("canvas").screenshot() != light


def test_axe_finds_nothing(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(bypass_csp=True, color_scheme="dark")
    for name, explanation in (("hostile", hostile()), ("several", several_blocks())):
        file = tmp_path / f"{name}.html"
        file.write_text(to_viewer(explanation), encoding="utf-8")
        page = context.new_page()
        page.goto(f"{file.as_uri()}#view=heads&heads=0")
        shown(page)
        page.locator("summary", has_text="The lines as a table").press("Enter")
        page.locator("#heads-query-2").click()
        page.evaluate(axe())
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate("async () => (await axe.run()).violations")
            assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []
    context.close()
