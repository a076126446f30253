"""The heatmap: what is under the crosshair is what Python says, and what is drawn is what is there."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page
from tests.viewer.conftest import Opens
from tests.viewer.explained import record
from tests.viewer.hostile import EXECUTED, hostile
from tests.viewer.needed import axe

from whence import Explanation
from whence.explain.schema import Segment

PAPER, DARKEST = (255, 255, 255), (15, 74, 124)
STOPS = np.array(
    [PAPER, (230, 241, 250), (205, 227, 245), (169, 207, 238), (125, 180, 227), (85, 155, 217), DARKEST]
)
DARK_PAPER = (17, 22, 28)
TOP, BOTTOM, RIGHT, LARGEST = 96, 52, 12, 64  # as in layout.ts


def picture(page: Page) -> Locator:
    return page.locator(".plot-picture")


def value(page: Page) -> float:
    """The exact value of the cell that is looked at."""
    return float(page.inner_text(".exact").replace("\N{MINUS SIGN}", "-"))


def point(page: Page, row: int, column: int, rows: int, columns: int) -> tuple[float, float]:
    """Where the middle of a cell is within the picture, when all of it is seen."""
    box = picture(page).bounding_box()
    assert box is not None
    left = min(220, round(box["width"] * 0.3))
    width = min(box["width"] - left - RIGHT, columns * LARGEST)
    height = min(box["height"] - TOP - BOTTOM, rows * LARGEST)
    return left + (column + 0.5) * width / columns, TOP + (row + 0.5) * height / rows


def hover(page: Page, row: int, column: int, rows: int, columns: int) -> None:
    x, y = point(page, row, column, rows, columns)
    picture(page).hover(position={"x": x, "y": y})


def colour(page: Page, x: float, y: float) -> tuple[int, ...]:
    """The pixel that is drawn at a point of the picture."""
    drawn: list[int] = page.evaluate(
        """async ([x, y]) => {
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
          copy.drawImage(document.querySelector(".plot-picture canvas"), -x, -y);
          return [...copy.getImageData(0, 0, 1, 1).data.slice(0, 3)];
        }""",
        [int(x), int(y)],
    )
    return tuple(drawn)


def near(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= 3


def mean_of_heads(explanation: Explanation, places: list[tuple[int, int]]) -> NDArray[np.float32]:
    (block,) = explanation.attention or ()
    return np.asarray(np.mean([block.weights(*place) for place in places], axis=0), dtype=np.float32)


def test_the_crosshair_tells_the_exact_score(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap")
    scores = record().matrix(0)
    for row, column in ((0, 0), (3, 8), (5, 16)):
        hover(page, row, column, *scores.shape)
        assert np.float32(value(page)) == scores[row, column]
        assert record().target_text(row).strip() in page.inner_text(".readout")


def test_every_cell_is_reached_by_keyboard_and_a_row_is_chosen(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap")
    scores = record().matrix(0)
    page.get_by_role("button", name="As a table").focus()
    page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "End"):  # the first one shows where one is
        page.keyboard.press(key)
    assert np.float32(value(page)) == scores[1, -1]
    page.keyboard.press("Home")
    assert np.float32(value(page)) == scores[1, 0]
    assert str(float(f"{scores[1, 0]:.6g}"))[:5] in page.inner_text("[role=status]")
    page.keyboard.press("Enter")
    assert "chosen=target-1" in page.url
    page.keyboard.press("Shift+Enter")
    assert "chosen=segment-0" in page.url


def test_one_head_and_the_mean_over_some(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap&picture=attention&words=no&layers=1&heads=2")
    (block,) = record().attention or ()
    weights = block.weights(1, 2)
    row, column = weights.shape[0] - 3, weights.shape[1] // 3
    hover(page, row, column, *weights.shape)
    assert np.float32(value(page)) == weights[row, column]
    assert "of the model's" in page.inner_text(".readout")
    page.get_by_label("choose several").check()
    page.get_by_role("group", name="Heads").get_by_text("5", exact=True).click()
    page.get_by_text("Mean over 2 heads").wait_for()
    hover(page, row, column + 1, *weights.shape)
    expected = mean_of_heads(record(), [(1, 2), (1, 5)])[row, column + 1]
    assert value(page) == pytest.approx(expected, rel=1e-6)
    page.get_by_role("group", name="Layers").get_by_text("all").click()
    page.get_by_role("group", name="Heads").get_by_text("all").click()
    page.get_by_text("Mean over 32 heads.").wait_for()
    hover(page, row, column, *weights.shape)
    everyone = mean_of_heads(
        record(), [(layer, head) for layer in block.layers for head in range(block.heads)]
    )
    assert value(page) == pytest.approx(everyone[row, column], rel=1e-6)
    picture(page).press("]")
    picture(page).press("]")
    page.get_by_text("all layers, head 1").wait_for()
    assert "heads=1" in page.url


def test_no_token_attends_to_a_later_one_and_what_is_masked_is_said(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap&picture=attention&words=no&layers=0&heads=0")
    (block,) = record().attention or ()
    weights = block.weights(0, 0)
    masked = [at for at, key in enumerate(block.keys) if key.part in ("sink", "special")]
    share = weights[:, masked].sum(axis=1).mean()
    assert f"Masked: {100 * share:.1f}" in page.inner_text(".heatmap").replace("\N{NO-BREAK SPACE}", " ") or (
        f"Masked: {100 * share:.0f}" in page.inner_text(".heatmap")
    )
    hover(page, 0, 50, *weights.shape)
    assert value(page) == 0
    assert "nothing: this token is read later" in page.inner_text(".readout")
    hover(page, 20, 0, *weights.shape)
    assert "masked" in page.inner_text(".readout")
    assert np.float32(value(page)) == weights[20, 0]
    page.get_by_label("Mask the first token").uncheck()
    page.get_by_label("Mask special tokens").uncheck()
    hover(page, 20, 0, *weights.shape)
    assert "masked" not in page.inner_text(".readout")
    page.get_by_label("Mask the first token").check()
    page.locator(".options select").nth(1).select_option(index=1)
    hover(page, 20, 1, *weights.shape)
    rest = weights[20].astype(float)
    rest[[at for at in masked if block.keys[at].part == "sink"]] = 0
    assert value(page) == pytest.approx(weights[20, 1] / rest.sum(), rel=1e-5)


def test_words_are_sums_over_columns_and_means_over_rows(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap&picture=detail")
    assert picture(page).get_attribute("aria-label") != ""
    page.get_by_label("Whole words").uncheck()
    detail = record().results[0].detail
    assert detail is not None
    matrix = detail.matrix()
    hover(page, 4, 30, *matrix.shape)
    assert np.float32(value(page)) == matrix[4, 30]


def test_zoom_and_pan(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap&picture=attention&words=no&layers=0&heads=0")
    (block,) = record().attention or ()
    shape = len(block.queries), len(block.keys)
    whole_label = page.inner_text(".readout")
    hover(page, 100, 40, *shape)
    before = page.inner_text(".readout")
    assert before != whole_label
    x, y = point(page, 100, 40, *shape)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    picture(page).hover(position={"x": x + 1, "y": y})
    assert page.inner_text(".readout") == before  # the point under the mouse stays
    picture(page).hover(position={"x": x + 60, "y": y})
    there = page.inner_text(".readout")
    box = picture(page).bounding_box()
    assert box is not None
    page.mouse.down()
    page.mouse.move(box["x"] + x + 10, box["y"] + y, steps=4)
    page.mouse.up()
    picture(page).hover(position={"x": x + 9, "y": y})
    assert page.inner_text(".readout") == there  # what was dragged came along
    picture(page).press("0")
    hover(page, 100, 40, *shape)
    assert page.inner_text(".readout") == before
    assert page.get_by_role("button", name="Show all").is_disabled()


def test_colours_follow_the_scale(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap")
    scores = record().matrix(0)
    ranked = np.sort(scores, axis=None)
    middle, least = ranked.size // 2, ranked[ranked > 0][0]
    positions = {
        "linear": ranked / ranked[-1],
        "log": np.log(2 * ranked / least) / np.log(2 * ranked[-1] / least),
        "percentile": np.arange(1, ranked.size + 1) / ranked.size,
    }
    for scale, position in positions.items():
        page.get_by_label("Scale").select_option(scale)
        expected = [np.interp(position[middle] * 6, range(7), STOPS[:, channel]) for channel in range(3)]
        for value, drawn in ((ranked[-1], DARKEST), (ranked[middle], tuple(map(round, expected)))):
            row, column = np.argwhere(scores == value)[0].tolist()
            assert near(colour(page, *point(page, row, column, *scores.shape)), drawn), scale


def wide(columns: int, bright: int) -> Explanation:
    """As many segments as columns, and one that has it all."""
    text = "a " * columns
    document = json.loads(record().model_dump_json())
    source = {**document["sources"][0], "text": text}
    segments = [
        Segment(source=source["id"], kind="word", start=2 * at, end=2 * at + 2).model_dump()
        for at in range(columns)
    ]
    result = document["results"][1]
    values = np.full((len(document["output"]["targets"]), columns), 1e-4)
    values[2, bright] = 5.0
    result["scores"] |= {"values": values.tolist(), "stderr": None, "unmeasured": []}
    document |= {
        "sources": [source],
        "segments": segments,
        "results": [{**result, "detail": None, "confirmations": []}],
        "attention": None,
    }
    return Explanation.model_validate(document)


def test_a_single_bright_cell_survives_where_cells_are_smaller_than_pixels(opens: Opens) -> None:
    page = opens(wide(2_000, 777), state="#view=heatmap")
    x, y = point(page, 2, 777, 6, 2_000)
    assert DARKEST in {colour(page, x + by, y) for by in (-1, 0, 1)}
    assert near(colour(page, x + 20, y), PAPER)


def test_dark_mode_draws_again(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap")
    x, y = point(page, 0, 0, *record().matrix(0).shape)
    assert near(colour(page, 5, 200), PAPER)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(200)
    assert near(colour(page, 5, 200), DARK_PAPER)
    assert near(colour(page, x, y), (168, 210, 248))


def test_the_table_is_a_part_around_the_cell_and_says_which(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap&picture=attention&words=no&layers=0&heads=0")
    (block,) = record().attention or ()
    count = len(block.keys)
    page.get_by_role("button", name="As a table").press("Enter")
    assert f"rows 1 to 50 of {count}, columns 1 to 50 of {count}" in page.inner_text("caption")
    assert page.locator(".heat-scroll tbody tr").count() == 50
    page.get_by_role("button", name="Rows after").press("Enter")
    assert f"rows 51 to 100 of {count}" in page.inner_text("caption")
    told = page.locator(".heat-scroll tbody tr").nth(3).locator("td").nth(7).inner_text()
    assert np.float32(told) == block.weights(0, 0)[53, 7]


@pytest.mark.parametrize("shown", ["scores", "detail", "attention&layers=0&heads=1", "scores&result=1"])
def test_hostile_texts(opens: Opens, shown: str) -> None:
    page = opens(hostile(), state=f"#view=heatmap&picture={shown}")
    page.get_by_role("button", name="As a table").click()
    for key in ("ArrowDown", "End", "PageDown"):
        picture(page).press(key)
    assert "<img src=x onerror" in page.inner_text(".heat-scroll")
    assert not page.evaluate(EXECUTED)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.inner_text(".heatmap"))
    assert max(map(len, page.locator(".heat-scroll th").all_inner_texts())) < 100


def test_axe_finds_nothing(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap&picture=attention&layers=0&heads=0")
    page.locator("summary", has_text="Export").click()
    page.evaluate(axe())
    ask = "axe.run({include: [['.heatmap'], ['.export']]}).then(({violations}) => violations)"
    found = page.evaluate(ask)
    page.emulate_media(color_scheme="dark")
    page.get_by_role("button", name="Passages").click()
    page.get_by_role("button", name="As a table").click()
    found += page.evaluate(ask)
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_what_is_searched_for_is_marked(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap")
    scores = record().matrix(0)
    at = next(index for index in range(scores.shape[1]) if "clopidogrel" in record().segment_text(index))
    x, _ = point(page, 0, at, *scores.shape)
    assert near(colour(page, x, TOP - 2), PAPER)
    page.get_by_role("searchbox").fill("clopidogrel")
    assert near(colour(page, x, TOP - 2), (23, 86, 140))
