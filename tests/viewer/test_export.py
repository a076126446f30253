"""Exports, opened again: they hold what Python says, and what they are of. No record names a file."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Page
from tests.viewer.conftest import Opens
from tests.viewer.explained import record
from tests.viewer.hostile import EXECUTED, hostile

from whence.explain.render.scale import percent

SVG = "{http://www.w3.org/2000/svg}"
NAMES = {"png": "Picture (PNG)", "svg": "Picture (SVG)", "csv": "Table (CSV)", "json": "Data (JSON)"}
FACTS = {
    "view",
    "model",
    "provider",
    "revision",
    "method",
    "evidence",
    "caveats",
    "unit",
    "scale",
    "masked",
    "values",
    "explained",
    "exported",
}
DRAWN = {"svg", "title", "desc", "rect", "line", "path", "text", "image", "g"}
DARKEST = (15, 74, 124)
PAPER = (255, 255, 255)
TOP, BOTTOM, RIGHT, LARGEST = 96, 52, 12, 64  # as in layout.ts

Export = Callable[[Page, str], Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    def export(page: Page, ending: str) -> Path:
        page.locator("summary", has_text="Export").press("Enter")
        with page.expect_download() as started:
            page.get_by_role("button", name=NAMES[ending]).press("Enter")
        file = tmp_path / started.value.suggested_filename
        started.value.save_as(file)
        assert started.value.suggested_filename in page.inner_text("[role=status]")
        return file

    return export


def table(file: Path) -> tuple[dict[str, str], list[list[str]]]:
    """The facts of a CSV, and its rows with their head."""
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    facts = {row[0][2:]: row[1] for row in rows if len(row) == 2 and row[0].startswith("# ")}
    return facts, rows[len(facts) :]


def svg(file: Path) -> ElementTree.Element:
    return ElementTree.fromstring(file.read_bytes())  # noqa: S314 - our own, with no entities


def pixels(page: Page, png: bytes) -> tuple[int, int, Callable[[float, float], tuple[int, ...]]]:
    """A PNG as the browser reads it: its size, and the colour at a point."""
    read: dict[str, Any] = page.evaluate(
        """async (text) => {
          const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
          const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
          const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
          context.drawImage(image, 0, 0);
          const { data } = context.getImageData(0, 0, image.width, image.height);
          let text64 = "";
          for (let at = 0; at < data.length; at += 32768) {
            text64 += String.fromCharCode(...data.subarray(at, at + 32768));
          }
          return { width: image.width, height: image.height, data: btoa(text64) };
        }""",
        base64.b64encode(png).decode(),
    )
    data = np.frombuffer(base64.b64decode(read["data"]), np.uint8).reshape(read["height"], read["width"], 4)
    return read["width"], read["height"], lambda x, y: tuple(map(int, data[int(y), int(x), :3]))


def test_the_heatmap_as_png_is_twice_as_large_and_has_the_colours_of_its_cells(
    opens: Opens, export: Export
) -> None:
    page = opens(record(), state="#view=heatmap")
    box = page.locator(".plot-picture").bounding_box()
    assert box is not None
    width, height, at = pixels(page, export(page, "png").read_bytes())
    assert width == 2 * (round(box["width"]) + 32)
    assert height > 2 * box["height"]
    scores = record().matrix(0)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    left = min(220, round(box["width"] * 0.3))
    cell = min(box["width"] - left - RIGHT, scores.shape[1] * LARGEST) / scores.shape[1]
    down = min(box["height"] - TOP - BOTTOM, scores.shape[0] * LARGEST) / scores.shape[0]
    x = 16 + left + (column + 0.5) * cell
    y = 16 + 22 + TOP + (row + 0.5) * down
    assert at(2 * x, 2 * y) == DARKEST
    assert at(3, 3) == PAPER


def test_the_heatmap_as_svg_is_xml_with_its_cells_inside(opens: Opens, export: Export) -> None:
    page = opens(
        record(),
        state="#view=heatmap&picture=attention&words=no&layers=0&heads=0&mask-sink=no&mask-special=no",
    )
    root = svg(export(page, "svg"))
    assert root.tag == f"{SVG}svg"
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert {"demo", "attention weights", "raw", "linear", "nothing"} <= set(texts)
    assert any("where the model looked, not why it answered" in text for text in texts)
    image, _scale = root.iter(f"{SVG}image")
    href = image.attrib["href"]
    assert href.startswith("data:image/png;base64,")
    width, height, at = pixels(page, base64.b64decode(href.partition(",")[2]))
    (block,) = record().attention or ()
    weights = block.weights(0, 0)
    assert (height, width) == weights.shape
    row, column = np.argwhere(weights == weights.max())[0].tolist()
    assert at(column, row) == DARKEST
    assert at(width - 1, 0) == PAPER  # no token attends to a later one


def test_the_heatmap_as_numbers(opens: Opens, export: Export) -> None:
    page = opens(record(), state="#view=heatmap")
    scores = record().matrix(0)
    facts, (head, *rows) = table(export(page, "csv"))
    assert set(facts) >= FACTS
    assert (facts["model"], facts["method"], facts["values"]) == ("demo", "attention", "raw")
    assert len(head) == 1 + scores.shape[1]
    assert np.array_equal(np.array([row[1:] for row in rows], dtype=np.float32), scores)
    document = json.loads(export(page, "json").read_text(encoding="utf-8"))
    assert set(document["about"]) >= FACTS
    assert (document["columns"], document["rows"]) == (head, [[row[0], *map(float, row[1:])] for row in rows])
    assert [row["end"] for row in document["items"]["rows"]] == [
        target.end for target in record().output.targets
    ]


def test_attention_as_numbers_leaves_out_what_is_masked(opens: Opens, export: Export) -> None:
    page = opens(record(), state="#view=heatmap&picture=attention&words=no&layers=2&heads=3&scale=log")
    (block,) = record().attention or ()
    document = json.loads(export(page, "json").read_text(encoding="utf-8"))
    masked = np.array([key.part in ("sink", "special") for key in block.keys])
    assert [column["masked"] for column in document["items"]["columns"]] == masked.tolist()
    values = np.array(
        [[cell if cell != "" else np.nan for cell in row[1:]] for row in document["rows"]], np.float32
    )
    assert np.isnan(values[:, masked]).all()
    assert np.array_equal(values[:, ~masked], block.weights(2, 3)[:, ~masked])
    weights = block.weights(2, 3).astype(np.float64)
    parts = {part: weights[:, [key.part == part for key in block.keys]].sum() for part in ("sink", "special")}
    sink, special = (percent(mass / len(weights)) for mass in parts.values())
    all_ = percent(sum(parts.values()) / len(weights))
    kinds = f"{special} on special tokens; {sink} on the first token, where idle attention rests"
    assert document["about"]["masked"] == f"{all_} of a row on average ({kinds})"
    assert document["about"]["scale"] == "log"
    assert document["title"] == "Attention of the decoder: layer 2, head 3"


def test_the_record_as_numbers(opens: Opens, export: Export) -> None:
    page = opens(record(), state="#mask-sink=no&mask-special=no")
    facts, (head, *rows) = table(export(page, "csv"))
    assert facts["view"] == "record"
    shares = np.array([float(row[head.index("share")]) for row in rows]).reshape(record().shares(0).shape)
    assert shares == pytest.approx(record().shares(0), abs=1e-7)
    page = opens(record(), state="#result=1&chosen=target-3")
    document = json.loads(export(page, "json").read_text(encoding="utf-8"))
    of = [dict(zip(document["columns"], row, strict=True)) for row in document["rows"]]
    assert np.array_equal(np.array([row["score"] for row in of], np.float32), record().matrix(1)[3])
    assert {row["of_text"] for row in of} == {record().target_text(3)}
    assert document["about"]["method"] == "leave_one_out"


def test_the_record_as_a_picture_has_every_line_and_the_caveat(opens: Opens, export: Export) -> None:
    page = opens(record(), state="#chosen=target-0")
    root = svg(export(page, "svg"))
    texts = " ".join(element.text or "" for element in root.iter(f"{SVG}text"))
    words = set(texts.split())
    assert set((record().sources[0].text or "").split()) <= words
    assert set(record().results[0].caveats[0].split()) <= words
    fills = {element.attrib["fill"] for element in root.iter(f"{SVG}rect")}
    assert fills & {"#e6f1fa", "#cde3f5", "#a9cfee", "#7db4e3", "#559bd9"}
    width, height, _ = pixels(page, export(page, "png").read_bytes())
    assert (width, height) == (2 * int(root.attrib["width"]), 2 * int(root.attrib["height"]))


@pytest.mark.parametrize("view", ["record", "sources", "heatmap", "heads"])
def test_hostile_texts(opens: Opens, export: Export, view: str) -> None:
    page = opens(hostile(), state=f"#view={view}")
    for ending in NAMES:
        file = export(page, ending)
        assert re.fullmatch(r"whence-[A-Za-z0-9-]+\.(png|svg|csv|json)", file.name)
        assert len(file.name) < 160
        if ending == "svg":
            root = svg(file)
            assert {element.tag.removeprefix(SVG) for element in root.iter()} <= DRAWN
            assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
        elif ending == "csv":
            _, rows = table(file)
            assert not any(cell.startswith(("=", "@", "+")) for row in rows for cell in row)
        elif ending == "json":
            assert json.loads(file.read_text(encoding="utf-8"))["about"]["model"]
    assert not page.evaluate(EXECUTED)
