"""The numbers in sentences: each is computed once more here, from the explanation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect
from tests.viewer.conftest import Opens
from tests.viewer.explained import record, scored
from tests.viewer.test_export import SVG, Export, export, svg, table
from tests.viewer.test_heads import MOST_LINES, block_of, several_blocks, shown

from whence import AttentionBlock, Explanation, KeepAttention
from whence.explain.keeper import TensorKeeper
from whence.explain.render.scale import percent, quantity, step
from whence.explain.render.wording import ELSEWHERE_ALL, ELSEWHERE_SOME, ELSEWHERE_UNMEASURED, PARTS
from whence.explain.result import Elsewhere, Measure, MethodRecord, Result, Scores
from whence.explain.schema import Target
from whence.providers.observations import Block, Token

__all__ = ["export"]

MASKED = ("sink", "special")
ROW = 24  # as in column.tsx
IN_SIGHT = "are drawn, where one of their tokens is in sight"

Numbers = NDArray[np.float64]

PARTLY = scored((1, 0.5, 0, 0, 0), (-1, 0.2, 0.3, 0, 0), (-0.4, 0, 0, 0, 0))
"""Nothing speaks for the last sentence."""


@cache
def measured() -> Explanation:
    """Rows of unlike sums, and in each something else that fell outside."""
    return scored((0,) * 5, (0,) * 5, (0,) * 5).model_copy(
        update={
            "results": (
                Result(
                    method=MethodRecord(
                        name="gradients", family="gradient", evidence="sensitivity", access="weights"
                    ),
                    scores=Scores(
                        values=((0.3, -0.1, 0, 0.2, 0), (0.05, 0, 0.6, 0, 0), (0, 0, 0.01, 0, 0.4)),
                        unit="relevance",
                        signed=True,
                        elsewhere=(
                            Elsewhere(sink=0.5, instruction=0.2, total=0.7),
                            Elsewhere(special=0.1, template=0.15, total=0.25),
                            Elsewhere(
                                sink=0.04, special=0.3, output_so_far=0.02, instruction=0.06, total=0.42
                            ),
                        ),
                        noise_floor=0.02,
                    ),
                    fidelity=Measure(k=(1, 3), unit="nats", values=((0.1, 0.4), (0.2, 0.5), (0.3, 0.9))),
                    groundedness=Measure(k=(2,), values=((0.8,), (0.25,), (0.5,))),
                    caveats=("A caveat.",),
                ),
            )
        }
    )


@cache
def leaking() -> Explanation:
    """Attention of which sinks of the model's own took some; more tokens than are seen at once."""
    rng = np.random.default_rng(3)
    queries = [
        Token(part="special" if at == 10 else "template", text="<mark>" if at == 10 else f"said{at}")
        for at in range(40)
    ]
    keys = [Token(part="special" if at in (0, 20) else "instruction", text=f"read{at}") for at in range(60)]
    keeper = TensorKeeper(KeepAttention(), ids=["s1", "s2"])
    block = Block(
        name="cross", layers=(3, 7), heads=3, queries=tuple(queries), keys=tuple(keys), explaining=(1, 2, 3)
    )
    keeper.begin([block])
    for layer in block.layers:
        for head in range(block.heads):
            raw = rng.random((len(queries), len(keys))) ** 4
            raw[4, 1:] *= head != 1  # of this query, one head gives nothing to the keys that are shown
            taken = rng.random((len(queries), 1)) * (head + 1) / (layer + 1)
            keeper.see(
                "cross", layer, head, ((1 - taken) * raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
            )
    return PARTLY.model_copy(update={"attention": keeper.finish()})


def parts_said(parts: Mapping[str, float]) -> str:
    ordered = sorted((item for item in parts.items() if item[1] > 0), key=lambda item: -item[1])
    said = "; ".join(f"{percent(share)} on {PARTS[part]}" for part, share in ordered)
    return said and f" ({said})"


def balance(
    explanation: Explanation,
    target: int | None,
    masked: Sequence[str] = MASKED,
    renormalised: bool = False,
) -> tuple[str, str, str]:
    """What is in the sources, elsewhere, and masked: the means over the targets, or one of them."""
    scores = explanation.results[0].scores
    values = explanation.matrix(0).astype(np.float64)
    credit = np.where((values > 0) & (values >= (scores.noise_floor or 0)), values, 0).sum(axis=1)
    names = list(scores.elsewhere[0].parts) if scores.elsewhere else []
    outside = {name: np.array([own.parts[name] for own in scores.elsewhere or ()]) for name in names}
    everything = credit + sum(outside.values())
    whole = everything - sum(outside[name] for name in masked) * renormalised
    rows = slice(None) if target is None else slice(target, target + 1)
    share = {
        name: float((own / (everything if name in masked else whole))[rows].mean())
        for name, own in outside.items()
    }
    rest = {name: value for name, value in share.items() if name not in masked}
    left = {name: value for name, value in share.items() if name in masked}
    return (
        percent(float((credit / whole)[rows].mean())),
        percent(sum(rest.values())) + parts_said(rest),
        percent(sum(left.values())) + parts_said(left),
    )


def said_of(share: str, what: str = "elsewhere") -> str:
    """With the word between the share and its parts."""
    number, bracket, parts = share.partition(" (")
    return f"{number} {what}{bracket}{parts}"


def facts(page: Page) -> dict[str, str]:
    names, values = (page.locator(f".balance {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


def weights(
    block: AttentionBlock,
    layer: int,
    heads: Sequence[int],
    masked: Sequence[str] = MASKED,
) -> tuple[Numbers, float]:
    """heads x queries x keys as they are shown, and which part of all attention is masked."""
    all_weights = np.stack([block.weights(layer, head).astype(np.float64) for head in heads])
    hidden = np.array([key.part in masked for key in block.keys])
    share = float(all_weights[:, :, hidden].sum() / (len(heads) * len(block.queries)))
    all_weights[:, :, hidden] = 0
    return all_weights, share


def renormalised(cells: Numbers) -> Numbers:
    sums = cells.sum(axis=2, keepdims=True)
    shares: Numbers = np.divide(cells, sums, out=np.zeros_like(cells), where=sums > 0)
    return shares


def exported(export: Export, page: Page) -> Any:
    return json.loads(export(page, "json").read_text(encoding="utf-8"))


def pinned(page: Page, item: str) -> None:
    page.locator(item).click()
    expect(page.locator(item)).to_have_attribute("aria-selected", "true")
    page.mouse.move(5, 5)


def test_the_whole_output_has_the_means_of_its_sentences(opens: Opens) -> None:
    for explanation, count in ((measured(), 3), (record(), 6)):
        name = f"the whole output (mean of its {count} sentences)"
        page = opens(explanation)
        inside, elsewhere, masked = balance(explanation, None)
        assert page.inner_text(".balance p") == (
            f"Of all evidence for {name}: {inside} in the sources, "
            f"{said_of(elsewhere)}, {said_of(masked, 'masked')}."
        )
        page = opens(explanation, state="#renormalised=yes")
        inside, elsewhere, masked = balance(explanation, None, renormalised=True)
        assert page.inner_text(".balance p") == (
            f"Of what is shown for {name}: {inside} in the sources, {said_of(elsewhere)}; "
            f"of all evidence, {said_of(masked, 'masked')}."
        )
        page = opens(explanation, state="#mask-sink=no&mask-special=no")
        inside, elsewhere, _ = balance(explanation, None, masked=())
        assert page.inner_text(".balance p") == (
            f"Of all evidence for {name}: {inside} in the sources, {said_of(elsewhere)}."
        )


def test_a_sentence_has_its_own_numbers(opens: Opens) -> None:
    page = opens(measured())
    assert facts(page) == {
        "Noise floor:": "0.02 relevance: what is nearer to 0 counts as 0",
        "Fidelity:": "0.1 to 0.3 nats (k = 1); 0.4 to 0.9 nats (k = 3)",
        "Groundedness:": "0.25 to 0.8 (k = 2)",
    }
    (result,) = measured().results
    fidelity, groundedness = result.fidelity.values or (), result.groundedness.values or ()
    for target in range(3):
        page.locator(".answer [role=option]").nth(target).click()
        inside, elsewhere, masked = balance(measured(), target)
        assert page.inner_text(".balance p") == (
            f"Of all evidence for sentence {target + 1}: {inside} in the sources, {said_of(elsewhere)}, "
            f"{said_of(masked, 'masked')}."
        )
        first, third = map(quantity, fidelity[target])
        own = facts(page)
        assert own["Fidelity:"] == f"{first} nats (k = 1); {third} nats (k = 3)"
        assert own["Groundedness:"] == f"{quantity(groundedness[target][0])} (k = 2)"


def test_elsewhere_that_is_not_measured_is_the_part_without_support(opens: Opens) -> None:
    page = opens(PARTLY)
    assert page.inner_text(".balance p") == (
        f"Of all evidence for the whole output (mean of its 3 sentences): {percent(2 / 3)} in the sources, "
        f"{percent(1 / 3)} elsewhere ({ELSEWHERE_SOME})."
    )
    assert "Noise floor:" not in facts(page)
    for target, best in ((0, 1 / 1.5), (1, 0.3 / 0.5)):
        page.locator(".answer [role=option]").nth(target).click()
        name = f"sentence {target + 1}"
        assert page.inner_text(".balance p") == (
            f"Of all evidence for {name}: {percent(1)} in the sources, – elsewhere ({ELSEWHERE_UNMEASURED})."
        )
        status = page.inner_text("[role=status]")
        assert status == (
            f"Chosen: {name}. Its strongest passage has {percent(best)}. "
            f"Elsewhere: – ({ELSEWHERE_UNMEASURED})."
        )
        assert f"{percent(0)} is elsewhere" not in status
    page.locator(".answer [role=option]").nth(2).click()
    said = f"{percent(1)} elsewhere ({ELSEWHERE_ALL})."
    assert page.inner_text(".balance p").endswith(f"{percent(0)} in the sources, {said}")
    assert page.inner_text("[role=status]").endswith(f"Elsewhere: {percent(1)} ({ELSEWHERE_ALL}).")


def test_what_is_within_noise_supports_nothing(opens: Opens) -> None:
    result = PARTLY.results[0]
    scores = result.scores.model_copy(update={"noise_floor": 0.45})
    page = opens(PARTLY.model_copy(update={"results": (result.model_copy(update={"scores": scores}),)}))
    assert f"{percent(1 / 3)} in the sources, {percent(2 / 3)} elsewhere" in page.inner_text(".balance p")
    assert facts(page)["Noise floor:"] == "0.45 nats: what is nearer to 0 counts as 0"


def test_where_all_is_supported_elsewhere_has_no_number(opens: Opens) -> None:
    page = opens(scored((1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 0, 2, 1)))
    said = f"{percent(1)} in the sources, – elsewhere ({ELSEWHERE_UNMEASURED})."
    assert page.inner_text(".balance p").endswith(said)


def test_where_nothing_is_supported_all_is_elsewhere(opens: Opens) -> None:
    """Of six sentences: six sixths of floats are not all."""
    three = scored(*((0,) * 5,) * 3)
    (result,) = three.results
    told = {
        "text": " ".join(["So it is."] * 6),
        "targets": tuple(Target(start=10 * at, end=10 * at + 9, kind="sentence") for at in range(6)),
    }
    scores = result.scores.model_copy(update={"values": ((0,) * 5,) * 6})
    six = {
        "output": three.output.model_copy(update=told),
        "results": (result.model_copy(update={"scores": scores}),),
    }
    page = opens(three.model_copy(update=six))
    said = f"{percent(0)} in the sources, {percent(1)} elsewhere ({ELSEWHERE_ALL})."
    assert page.inner_text(".balance p").endswith(said)


def test_a_query_that_gives_nothing_has_no_share(opens: Opens) -> None:
    page = opens(record(), state="#view=heads&heads=0&words=no&renormalised=yes")
    page.locator("#heads-query-0").click()
    said = page.inner_text(".heads-said")
    assert "all 0 lines of " in said
    assert f"They carry {percent(0)} of what it gives" in said


@pytest.mark.parametrize("target", [None, 2])
def test_an_export_tells_what_is_elsewhere_and_masked(
    opens: Opens, export: Export, target: int | None
) -> None:
    chosen = "" if target is None else f"&chosen=target-{target}"
    for state, options in (
        ("", {}),
        ("renormalised=yes", {"renormalised": True}),
        ("mask-sink=no", {"masked": ["special"]}),
    ):
        page = opens(measured(), state=f"#{state}{chosen}")
        _, elsewhere, masked = balance(measured(), target, **options)
        told, _ = table(export(page, "csv"))
        about = exported(export, page)["about"]
        for own in (told, about):
            assert (own["elsewhere"], own["masked"]) == (elsewhere, masked)
            whole = "what is shown" if options.get("renormalised") else "all evidence"
            assert own["unit"] == f"shares: parts of {whole}; scores: relevance"
    page = opens(measured(), state=f"#mask-sink=no&mask-special=no{chosen}")
    told, _ = table(export(page, "csv"))
    assert (told["elsewhere"], told["masked"]) == (balance(measured(), target, masked=())[1], "nothing")


def test_an_export_tells_why_nobody_knows_what_is_elsewhere(opens: Opens, export: Export) -> None:
    for chosen, said in (
        ("", f"{percent(1 / 3)} ({ELSEWHERE_SOME})"),
        ("#chosen=target-0", f"– ({ELSEWHERE_UNMEASURED})"),
        ("#chosen=target-2", f"{percent(1)} ({ELSEWHERE_ALL})"),
    ):
        page = opens(PARTLY, state=chosen)
        told, _ = table(export(page, "csv"))
        about = exported(export, page)["about"]
        assert told["elsewhere"] == about["elsewhere"] == said
        assert told["masked"] == about["masked"] == "nothing"


@pytest.mark.parametrize("divided", [False, True])
def test_several_heads_say_what_their_lines_carry(opens: Opens, divided: bool) -> None:
    page = opens(
        record(), state=f"#view=heads&layers=2&heads=1.3&words=no&renormalised={'yes' if divided else 'no'}"
    )
    cells, masked = weights(block_of(record()), 2, (1, 3))
    given = cells.shape[0] * cells.shape[1]
    if divided:
        cells = renormalised(cells)
        assert cells.any(axis=2).sum() < given
        given = int(cells.any(axis=2).sum())
    ranked = np.sort(cells[cells > 0])[::-1]
    carried, rest = (float(own.sum()) / given for own in (ranked[:MOST_LINES], ranked[MOST_LINES:]))
    assert not divided or carried + rest == pytest.approx(1)
    assert page.inner_text(".heads-said") == (
        f"decoder, layer 2, heads 1, 3: the 5,000 strongest of {len(ranked):,} lines {IN_SIGHT}. They carry "
        f"{percent(carried)} of what each query gives{' to the keys that are shown' * divided}; "
        f"the {len(ranked) - MOST_LINES:,} that are not drawn carry {percent(rest)}. "
        f"The strongest has {percent(float(ranked[0]))}; the scale is linear. "
        f"Masked: {percent(masked)} of all attention, on {PARTS['sink']}; and on {PARTS['special']}."
    )


@pytest.mark.parametrize("divided", [False, True])
def test_a_word_says_what_its_tokens_give_and_get(opens: Opens, export: Export, divided: bool) -> None:
    page = opens(record(), state=f"#view=heads&layers=1&heads=0.2&renormalised={'yes' if divided else 'no'}")
    shown(page)
    whole = exported(export, page)
    items = whole["items"]
    cells, masked = weights(block_of(record()), 1, (0, 2))
    count = cells.shape[0] * cells.shape[1]
    starts = {side: [item["number"] for item in items[side]] for side in ("queries", "keys")}
    sizes = np.diff([*starts["queries"], cells.shape[1]])
    words = np.add.reduceat(np.add.reduceat(cells, starts["queries"], axis=1), starts["keys"], axis=2)
    given = count
    if divided:
        given = int((words.any(axis=2) * sizes).sum())
        words = renormalised(words)
        assert given < count
    else:
        words /= sizes[:, None]
    assert whole["lines_in_all"] == np.count_nonzero(words)
    to = " to the keys that are shown" * divided
    end = f"Masked: {percent(masked)} of all attention, on {PARTS['sink']}; and on {PARTS['special']}."

    at = int(np.argmax(sizes[:20]))
    assert sizes[at] > 2
    pinned(page, f"#heads-query-{at}")
    own = words[:, at]
    name = f"{items['queries'][at]['label']} ({starts['queries'][at]})"
    carried = 1.0 if divided else float(own.sum()) / 2
    assert page.inner_text(".heads-said") == (
        f"decoder, layer 1, heads 0, 2: all {np.count_nonzero(own)} lines of {name} {IN_SIGHT}. They carry "
        f"{percent(carried)} of what it gives{to}. The strongest has {percent(float(own.max()))}; "
        f"the scale is linear. {end}"
    )
    found = exported(export, page)
    assert found["lines_in_all"] == np.count_nonzero(own) == len(found["rows"])

    page.get_by_role("button", name="Show all lines again").click()
    keys = np.diff([*starts["keys"], cells.shape[2]])
    at = int(np.argmax(keys[:20]))
    pinned(page, f"#heads-key-{at}")
    own = words[:, :, at]
    carried = float((own * sizes).sum()) / given
    name = f"{items['keys'][at]['label']} ({starts['keys'][at]})"
    assert page.inner_text(".heads-said") == (
        f"decoder, layer 1, heads 0, 2: all {np.count_nonzero(own)} lines of {name} {IN_SIGHT}. They carry "
        f"{percent(carried)} of what each query gives{to}. The strongest has {percent(float(own.max()))}; "
        f"the scale is linear. {end}"
    )
    assert exported(export, page)["lines_in_all"] == np.count_nonzero(own)


def test_partners_have_the_means_over_heads(opens: Opens) -> None:
    page = opens(record(), state="#view=heads&layers=1&heads=all&words=no&mask-sink=no&mask-special=no")
    shown(page)
    block = block_of(record())
    cells, _ = weights(block, 1, range(block.heads), masked=())
    pinned(page, "#heads-query-9")
    steps = [step(float(share)) for share in cells[:, 9, :10].mean(axis=0)]
    assert len(set(steps)) > 2
    shades = [page.locator(f"#heads-key-{at}").get_attribute("class") or "" for at in range(10)]
    assert [int(re.findall(r"\bs(\d)", shade)[-1]) for shade in shades] == steps
    weaker = np.sort(cells[:, 9][cells[:, 9] > 0])[::-1][8:]
    said = f"{len(weaker)} weaker ones: {percent(float(weaker.mean()))} each on average."
    expect(page.locator(".heads-partners > p")).to_have_text(said.replace("\xa0", " "))


@pytest.mark.parametrize("divided", [False, True])
def test_sinks_of_the_models_own_are_told_of(opens: Opens, divided: bool) -> None:
    page = opens(leaking(), state=f"#view=heads&layers=1&heads=0.1&renormalised={'yes' if divided else 'no'}")
    block = block_of(leaking())
    cells, masked = weights(block, 7, (0, 1))
    given = 80
    if divided:
        cells, given = renormalised(cells), 79
    outside = 1 - np.mean([block.row_sums_of(7, head) for head in (0, 1)], dtype=np.float64)
    carried = float(cells.sum()) / given
    assert outside > 0.05
    assert page.inner_text(".heads-said") == (
        f"cross, layer 7, heads 0, 1: all {np.count_nonzero(cells):,} lines {IN_SIGHT}. They carry "
        f"{percent(carried)} of what each query gives{' to the keys that are shown' * divided}. "
        f"The strongest has {percent(float(cells.max()))}; the scale is linear. "
        f"Masked: {percent(masked)} of all attention, on {PARTS['special']}. "
        f"{percent(float(outside))} of all attention went to sinks of the model's own, which are no tokens."
    )
    page = opens(several_blocks(), state="#view=heads&layers=1&heads=0.1")
    assert "sinks of the model" not in shown(page)


def test_a_scrolled_picture_is_exported_as_it_is_seen(opens: Opens, export: Export) -> None:
    page = opens(leaking(), state="#view=heads&layers=0&heads=2")
    shown(page)
    tops = {"query": 200, "key": 301}
    for side, top in tops.items():
        page.locator(f".of-{side} [role=listbox]").evaluate("(box, top) => { box.scrollTop = top }", top)
    for place in ("#heads-key-34", "#heads-query-35"):  # there only since it was scrolled
        expect(page.locator(place)).to_be_attached()
    height = float(page.locator("canvas").evaluate("(canvas) => canvas.getBoundingClientRect().height"))
    found = exported(export, page)
    root = svg(export(page, "svg"))
    block = block_of(leaking())

    def seen(side: str, at: int) -> float:
        return (at + 0.5) * ROW - tops[side]

    drawn = list(root.iter(f"{SVG}svg"))[-1]
    fills: dict[str, str] = {}
    for side, x, tokens in (("query", "192", block.queries), ("key", "528", block.keys)):
        labels = [text for text in drawn.iter(f"{SVG}text") if text.attrib["x"] == x]
        fills |= {text.text or "": text.attrib["fill"] for text in labels}
        assert {text.text: float(text.attrib["y"]) for text in labels} == {
            token.text: seen(side, at) for at, token in enumerate(tokens) if 0 <= seen(side, at) <= height
        }
    ends = {
        (seen("query", row[columns["query"]]), seen("key", row[columns["key"]]))
        for columns in [{name: at for at, name in enumerate(found["columns"])}]
        for row in found["rows"]
    }
    assert {(float(line.attrib["y1"]), float(line.attrib["y2"])) for line in drawn.iter(f"{SVG}line")} == {
        pair for pair in ends if any(0 <= y <= height for y in pair)
    }

    by_text = {text.text: text.attrib["fill"] for text in root.iter(f"{SVG}text")}
    ink, quiet = by_text["linear"], by_text["masked"]
    assert ink != quiet
    assert {text for text, fill in fills.items() if fill == quiet} == {"read20"}
    assert set(fills.values()) == {ink, quiet}
    assert fills["<mark>"] == ink
    expect(page.locator(".of-query .masked")).to_have_count(0)
    expect(page.locator(".of-key .masked bdi")).to_have_text(["read20"])


def masked_of_a_row(block: AttentionBlock, heads: Sequence[int]) -> dict[str, float]:
    cells = np.mean([block.weights(0, head).astype(np.float64) for head in heads], axis=0)
    kinds = {part: np.array([key.part == part for key in block.keys]) for part in MASKED}
    return {part: float(cells[:, own].sum(axis=1).mean()) for part, own in kinds.items() if own.any()}


def test_a_heatmap_names_only_what_is_masked(opens: Opens, export: Export) -> None:
    for explanation, at, heads, kinds in (
        (several_blocks(), 0, (3,), ["special"]),
        (several_blocks(), 1, (0, 5), ["sink"]),
        (record(), 0, (0, 2), ["sink", "special"]),
    ):
        state = (
            f"#view=heatmap&picture=attention&words=no&block={at}&layers=0&heads={'.'.join(map(str, heads))}"
        )
        page = opens(explanation, state=state)
        parts = masked_of_a_row(block_of(explanation, at), heads)
        assert list(parts) == kinds
        said = f"{percent(sum(parts.values()))} of a row on average{parts_said(parts)}"
        expect(page.locator(".heatmap p", has_text="Masked:")).to_have_text(f"Masked: {said}.")
        assert exported(export, page)["about"]["masked"] == said
    page = opens(several_blocks(), state="#view=heatmap&picture=attention&block=0&layers=0&mask-special=no")
    expect(page.locator(".readout")).to_be_visible()
    expect(page.locator(".heatmap p", has_text="Masked:")).to_have_count(0)
    assert exported(export, page)["about"]["masked"] == "nothing"
