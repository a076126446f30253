"""Every rule of the schema: what is refused, and what can be read from what is not."""

import base64
import copy
import gzip
import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from whence.explain.packing import pack, pack_plain, unpack
from whence.explain.result import EVIDENCE, UNITS, Part
from whence.explain.schema import Explanation, Segment, now

NOTE = "HR 88. BP 120."
LETTER = "Dx: fever."
SCORES = [[0.5, 0.125, 0.125, 0.0], [0.0625, 0.0625, 0.25, 0.0]]
ELSEWHERE = [{"template": 0.125, "sink": 0.125, "total": 0.25}, {"blank": 0.625, "total": 0.625}]
DETAIL = np.array([[0.5, 0.25], [0.0, 1.0], [0.25, 0.25]], dtype=np.float32)
CODES = np.array([[255, 0], [0, 255]], dtype=np.uint8)
REMOVED = object()


def explanation(**changes: Any) -> dict[str, Any]:
    """A valid explanation with every field filled in, after `changes`.

    A name is a path: `results__0__caveats=[]` empties the caveats of the first result.
    """
    made: dict[str, Any] = {
        "schema_version": "1.0",
        "id": "e1",
        "created_at": "2026-03-01T12:00:00Z",
        "provider": "fake",
        "model": "additive",
        "revision": "sha256:00",
        "prompt": {
            "instruction": "Summarise.",
            "messages": [{"role": "user", "content": ["source:note", "source:letter", "Summarise."]}],
        },
        "sources": [
            {"id": "note", "name": "note", "kind": "document", "metadata": {"ward": "4"}, "text": NOTE},
            {"id": "letter", "name": "letter", "kind": "message", "text": LETTER},
            {"id": "scan", "name": "scan", "kind": "image", "media_type": "image/png", "sha256": "00ff"},
        ],
        "segments": [
            {"source": "note", "kind": "sentence", "start": 0, "end": 7},
            {"source": "note", "kind": "sentence", "start": 7, "end": 14},
            {"source": "letter", "kind": "sentence", "start": 0, "end": 10},
            {"source": "scan", "kind": "region", "box": [0, 0, 8, 8]},
        ],
        "output": {
            "text": "Fever. HR 88.",
            "given": False,
            "finish": "stop",
            "targets": [
                {"start": 0, "end": 7, "kind": "sentence"},
                {"start": 7, "end": 13, "kind": "sentence"},
            ],
            "tokens": [
                {"start": 0, "end": 7, "logprob_nats": -0.5},
                {"start": 7, "end": 13, "logprob_nats": -1.5},
                {"start": 13, "end": 13},
            ],
        },
        "results": [
            {
                "method": {
                    "name": "attention",
                    "family": "native_attention",
                    "evidence": "descriptive",
                    "access": "weights",
                    "parameters": {"layers": "mean", "weight": 0.5, "heads": [0, 1]},
                    "seed": 0,
                    "fallbacks": [{"method": "gradient", "reason": "no gradients"}],
                },
                "scores": {
                    "values": SCORES,
                    "unit": "attention_mass",
                    "signed": False,
                    "elsewhere": ELSEWHERE,
                    "stderr": [[0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]],
                    "noise_floor": 0.0,
                },
                "detail": {
                    "shape": [3, 2],
                    "values": pack(DETAIL),
                    "tokens": [["note", 0, 2], ["letter", 0, 0]],
                    "elsewhere": [
                        {"special": 0.25, "total": 0.25},
                        {"total": 0.0},
                        {"instruction": 0.25, "output_so_far": 0.25, "total": 0.5},
                    ],
                },
                "fidelity": {"k": [1, 2], "values": [[0.5, -0.5], [0.0, 1.0]], "unit": "nats"},
                "groundedness": {"reason": "not asked for"},
                "caveats": ["Attention is where the model looked, not why it wrote."],
            }
        ],
        "attention": [
            {
                "name": "decoder",
                "layers": [3],
                "heads": 1,
                "encoding": "u8_log",
                "precision": {"floor": 1e-6, "relative_error": 0.0272, "absolute_error": 1e-6},
                "queries": [
                    {"text": "</script>", "part": "template"},
                    {"text": "Fever.", "part": "output", "start": 0, "end": 7},
                ],
                "positions": [0, 2],
                "keys": [
                    {"text": "<s>", "part": "sink"},
                    {"text": "HR", "part": "source", "source": "note", "start": 0, "end": 2},
                ],
                "explaining": [0, 1, 1],
                "thumbnail_shape": [2, 2],
                "data": [
                    {
                        "layer": 3,
                        "head": 0,
                        "values": pack(CODES, "|u1"),
                        "thumbnail": pack_plain(CODES, "|u1"),
                        "row_sums": pack_plain(np.ones(2), "<f4"),
                    }
                ],
                "left_out": "Only 2 of 3 queries are kept.",
            }
        ],
        "cost": {
            "calls": 1,
            "input_tokens": 20,
            "output_tokens": 3,
            "seconds": 0.5,
            "money": {"amount": 0.01, "currency": "EUR"},
        },
    }
    made = copy.deepcopy(made)
    for name, value in changes.items():
        put(made, name.split("__"), value)
    return made


def put(tree: Any, path: list[Any], value: Any) -> None:
    """Set, or with REMOVED take away, what stands at the end of a path."""
    for step in path[:-1]:
        tree = tree[int(step) if isinstance(tree, list) else step]
    last = int(path[-1]) if isinstance(tree, list) else path[-1]
    if value is REMOVED:
        del tree[last]
    else:
        tree[last] = value


def scored(family: str, values: Any, **scores: Any) -> dict[str, Any]:
    """The changes that make the one result another family's; gradients get an empty `elsewhere`."""
    if family == "gradient":
        scores.setdefault("elsewhere", [{"total": 0.0} for _ in values])
    return {
        "results__0__method__family": family,
        "results__0__method__evidence": EVIDENCE[family],
        "results__0__detail": None,
        "results__0__scores": {
            "values": values,
            "unit": UNITS[family],
            "signed": family not in ("native_attention", "citation"),
            **scores,
        },
    }


def valid(**changes: Any) -> Explanation:
    return Explanation.model_validate(explanation(**changes))


def refused(message: str, **changes: Any) -> None:
    with pytest.raises(ValidationError, match=message):
        valid(**changes)


def walk(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value in a tree of dictionaries and lists, with its path."""
    yield path, tree
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, child in children:
        yield from walk(child, (*path, step))


def places(kind: type, *, outside: tuple[str, ...] = ()) -> list[Any]:
    """The paths of all values of one type, named by themselves, except those within the fields `outside`."""
    return [
        pytest.param(path, id="/".join(map(str, path)) or "explanation")
        for path, value in walk(explanation())
        if type(value) is kind and not set(outside) & set(path)
    ]


# --- what every part refuses ---


@pytest.mark.parametrize("path", places(dict, outside=("metadata", "parameters")))
def test_an_unknown_field_is_refused_by_us_and_by_the_published_schema(path: tuple[Any, ...]) -> None:
    made = explanation()
    put(made, [*path, "surprise"], 1)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Explanation.model_validate(made)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(made, Explanation.model_json_schema())


@pytest.mark.parametrize("path", places(str, outside=("created_at", "currency")))
def test_a_lone_surrogate_is_refused_wherever_text_can_stand(path: tuple[Any, ...]) -> None:
    made = explanation()
    for part in [list(path), *([["sources", 0, "metadata"]] if path[-1] == "ward" else [])]:
        put(made, part, {"\ud800": "x"} if part != list(path) else "x\ud800")
    with pytest.raises(ValidationError):
        Explanation.model_validate(made)


@pytest.mark.parametrize("path", places(float, outside=("parameters",)))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300 * 1e300, 1e39])
def test_no_number_is_nan_or_infinite_or_beyond_float32(path: tuple[Any, ...], value: float) -> None:
    if value == 1e39 and path[-1] in ("seconds", "amount"):
        return  # a double, which may be as large as it likes
    made = explanation()
    put(made, list(path), value)
    with pytest.raises(ValidationError):
        Explanation.model_validate(made)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {"deep": [float("nan")]}, "\ud800", {"\ud800": 1}]
)
def test_a_parameter_that_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        valid(results__0__method__parameters={"p": value})


def test_every_part_is_frozen() -> None:
    def parts(value: Any) -> Iterator[Part]:
        if isinstance(value, Part):
            yield value
            for _, child in value:
                yield from parts(child)
        elif isinstance(value, tuple):
            for child in value:
                yield from parts(child)

    found = list(parts(valid()))
    assert len({type(part) for part in found}) == 21
    for part in found:
        for name in type(part).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(part, name, getattr(part, name))


def test_an_error_does_not_quote_the_record() -> None:
    with pytest.raises(ValidationError) as caught:
        valid(sources__0__text="Anna Kovacs, HIV positive", sources__1__name=7)
    assert "Kovacs" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["id", "created_at", "provider", "model", "prompt", "sources", "segments", "output", "results", "cost"],
)
def test_what_an_explanation_cannot_be_without(name: str) -> None:
    refused("Field required", **{name: REMOVED})


def test_a_naive_datetime_is_refused() -> None:
    refused("timezone", created_at=datetime(2026, 3, 1, 12))
    refused("timezone", created_at="2026-03-01T12:00:00")
    assert valid(created_at=now()).created_at.tzinfo is not None


def test_another_schema_version_is_refused() -> None:
    refused("1.0", schema_version="2.0")
    assert valid(schema_version=REMOVED).schema_version == "1.0"


def test_an_explanation_has_an_id_and_a_source_and_a_result() -> None:
    refused("at least 1 character", id="")
    refused("at least 1 item", sources=[])
    refused("at least 1 item", segments=[])
    refused("at least 1 item", output__targets=[])
    refused("at least 1 item", results=[])


def test_costs_are_not_negative_and_money_has_a_currency() -> None:
    for field in ("calls", "input_tokens", "output_tokens", "seconds", "money__amount"):
        refused("greater than or equal to 0", **{f"cost__{field}": -1})
    refused("pattern", cost__money__currency="euro")
    refused("unicode", cost__money__currency="EUR\ud800")


# --- sources and segments ---


def test_two_sources_with_the_same_id_are_refused() -> None:
    refused("same id", sources__1__id="note")


def test_a_document_has_text_and_an_image_has_none() -> None:
    refused("an image has no text", sources__0__text=None)
    refused("an image has no text", sources__2__text="pixels")


@pytest.mark.parametrize("missing", ["media_type", "sha256"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_image_without_media_type_or_digest_is_refused(missing: str, value: str | None) -> None:
    refused("media type and digest", **{f"sources__2__{missing}": value})


def test_a_segment_of_no_source_is_refused() -> None:
    refused("unknown sources: elsewhere", segments__0__source="elsewhere")


def test_segments_stand_in_the_order_of_their_sources_and_are_not_mixed() -> None:
    first, second, third, region = explanation()["segments"]
    refused("order of their sources", segments=[third, first, second, region])
    refused("order of their sources", segments=[first, third, second, region])


def test_a_segment_has_offsets_or_is_a_region_with_a_box() -> None:
    refused("start and end, and no box", segments__0__box=[0, 0, 1, 1])
    refused("start and end, and no box", segments__0__start=None)
    refused("start and end, and no box", segments__0__end=None)
    refused("a box, and no offsets", segments__3__box=None)
    refused("a box, and no offsets", segments__3__start=0)
    refused("a box, and no offsets", segments__3__end=1)


@pytest.mark.parametrize(
    "box", [[0, 0, 0, 8], [0, 0, 8, 0], [-1, 0, 8, 8], [0, -1, 8, 8], [9, 0, 8, 8], [0, 9, 8, 8]]
)
def test_a_box_with_no_inside_is_refused(box: list[int]) -> None:
    refused("empty or outside the image", segments__3__box=box)


def test_regions_are_of_images_and_images_have_only_regions() -> None:
    refused("do not go together", segments__2={"source": "letter", "kind": "region", "box": [0, 0, 1, 1]})
    refused("its segments are regions", segments__3={"source": "scan", "kind": "word", "start": 0, "end": 1})


def test_the_segments_of_a_source_are_of_one_kind() -> None:
    refused("do not go together", segments__1__kind="word")
    assert valid(segments__2__kind="paragraph").segments[2].kind == "paragraph"


@pytest.mark.parametrize(("start", "end"), [(3, 3), (5, 4)])
def test_an_empty_segment_is_refused(start: int, end: int) -> None:
    refused("is empty", segments__0__start=start, segments__0__end=end)
    with pytest.raises(ValidationError, match="is empty"):
        Segment(source="note", kind="word", start=start, end=end)


def test_offsets_outside_the_text_are_refused() -> None:
    refused("outside the text of 14 characters", segments__1__end=15)
    refused(
        "outside the text of 14 characters",
        segments__1__kind="token",
        segments__0__kind="token",
        segments__1__end=15,
    )
    refused("outside the text of 13 characters", output__targets__1__end=14)
    refused("outside the text", output__tokens__2__end=14)
    refused("outside the text", output__tokens__1={"start": 9, "end": 8})
    for path in ("segments__0", "output__targets__0", "output__tokens__0"):
        for edge in ("start", "end"):
            refused("greater than or equal to 0", **{f"{path}__{edge}": -1})


@pytest.mark.parametrize("kind", ["word", "sentence", "paragraph"])
def test_segments_partition_their_source(kind: str) -> None:
    def of(*spans: tuple[int, int]) -> dict[str, Any]:
        own = [{"source": "letter", "kind": kind, "start": start, "end": end} for start, end in spans]
        values = [[0.0, 0.0, *[0.0] * len(own), 0.0]] * 2
        segments = explanation()["segments"]
        return {"segments": [*segments[:2], *own, segments[3]], **scored("logprob", values)}

    assert valid(**of((0, 4), (4, 10))).segment_text(3) == "fever."
    for spans in ([(0, 4), (5, 10)], [(0, 5), (4, 10)], [(1, 10)], [(0, 9)], [(4, 10), (0, 4)], []):
        refused("do not partition", **of(*spans))


def test_a_source_that_is_one_segment_is_one_segment() -> None:
    refused("one segment", segments__0__kind="source", segments__1__kind="source")
    assert valid(segments__2__kind="source").segment_text(2) == LETTER


def test_tokens_may_leave_gaps_and_share_characters_but_stand_in_order() -> None:
    def of(*spans: tuple[int, int]) -> dict[str, Any]:
        own = [{"source": "note", "kind": "token", "start": start, "end": end} for start, end in spans]
        values = [[0.0] * (len(own) + 2)] * 2
        return {"segments": [*own, *explanation()["segments"][2:]], **scored("logprob", values)}

    e = valid(**of((1, 2), (1, 2), (1, 4), (3, 5)))
    assert [e.segment_text(index) for index in range(4)] == ["R", "R", "R 8", "88"]
    refused("not in order", **of((3, 5), (1, 2)))
    refused("is empty", **of((3, 3)))


def test_an_empty_source_has_no_segments() -> None:
    segments = explanation()["segments"]
    values = [[0.0] * 3] * 2
    valid(sources__1__text="", segments=[*segments[:2], segments[3]], **scored("logprob", values))
    refused("outside the text of 0 characters", sources__1__text="", results__0__detail=None)


# --- the output ---


def test_targets_partition_the_output() -> None:
    refused("do not partition", output__targets__0__end=6)
    refused("do not partition", output__targets__0__end=8)
    refused("do not partition", output__targets__1__end=12)
    refused("do not partition", output__targets__0__start=1)


def test_targets_are_of_one_kind() -> None:
    refused("several kinds: sentence, word", output__targets__1__kind="word")


def test_the_whole_output_is_one_target() -> None:
    refused("one target", output__targets__0__kind="whole", output__targets__1__kind="whole")
    whole = [{"start": 0, "end": 13, "kind": "whole"}]
    e = valid(
        output__targets=whole, results__0__fidelity={"reason": "none"}, **scored("logprob", [[0.0] * 4])
    )
    assert e.target_text(0) == "Fever. HR 88."


def test_target_tokens_may_share_characters_but_stand_in_order() -> None:
    tokens = [{"start": 2, "end": 4, "kind": "token"}, {"start": 2, "end": 4, "kind": "token"}]
    assert valid(output__targets=tokens).target_text(1) == "ve"
    refused("not in order", output__targets=[tokens[0], {"start": 0, "end": 1, "kind": "token"}])


def test_an_empty_output_cannot_be_explained() -> None:
    refused("outside the text of 0 characters", output__text="", output__tokens=None)


# --- methods, units, signs ---


@pytest.mark.parametrize("family", EVIDENCE)
@pytest.mark.parametrize("evidence", ["descriptive", "sensitivity", "causal", "self_reported"])
def test_the_evidence_of_a_family_is_fixed(family: str, evidence: str) -> None:
    changes = scored(family, SCORES, **({"elsewhere": ELSEWHERE} if family == "native_attention" else {}))
    changes["results__0__method__evidence"] = evidence
    if evidence == EVIDENCE[family]:
        assert valid(**changes).results[0].method.evidence == evidence
    else:
        refused(f"{family} gives", **changes)


def test_the_evidence_is_what_the_design_says() -> None:
    assert EVIDENCE == {
        "native_attention": "descriptive",
        "gradient": "sensitivity",
        "logprob": "causal",
        "perturbation": "causal",
        "citation": "self_reported",
    }


@pytest.mark.parametrize(
    ("family", "unit", "signed"),
    [
        ("native_attention", "attention_mass", False),
        ("gradient", "relevance", True),
        ("logprob", "nats", True),
        ("perturbation", "similarity", True),
        ("citation", "claim", False),
    ],
)
def test_a_family_has_its_unit_and_its_sign(family: str, unit: str, signed: bool) -> None:
    outside = {"elsewhere": ELSEWHERE} if family == "native_attention" else {}
    e = valid(**scored(family, SCORES, **outside))
    assert (e.results[0].scores.unit, e.results[0].scores.signed) == (unit, signed)
    refused(
        f"{unit} is {'' if signed else 'un'}signed", **scored(family, SCORES, **outside, signed=not signed)
    )
    other = "logprob" if family != "logprob" else "perturbation"
    changes = {**scored(other, SCORES), "results__0__method__family": family}
    refused("is measured in", **{**changes, "results__0__method__evidence": EVIDENCE[family]})


@pytest.mark.parametrize("family", ["native_attention", "citation"])
def test_an_unsigned_method_gives_no_negative_score(family: str) -> None:
    values = [[0.75, -0.125, 0.125, 0.0], SCORES[1]]
    outside = {"elsewhere": ELSEWHERE} if family == "native_attention" else {}
    refused("negative score", **scored(family, values, **outside))


def test_nothing_negative_falls_elsewhere_in_an_unsigned_method() -> None:
    outside = [{"template": 0.5, "sink": -0.25, "total": 0.25}, ELSEWHERE[1]]
    refused("negative score", results__0__scores__elsewhere=outside)
    valid(**scored("gradient", SCORES, elsewhere=outside))


def test_a_method_passed_over_has_a_reason() -> None:
    refused("at least 1 character", results__0__method__fallbacks__0__reason="")


def test_a_result_has_a_caveat() -> None:
    refused("at least 1 item", results__0__caveats=[])
    refused("at least 1 character", results__0__caveats=[""])
    refused("Field required", results__0__caveats=REMOVED)


# --- scores ---


@pytest.mark.parametrize("family", EVIDENCE)
def test_scores_of_another_shape_than_targets_by_segments_are_refused(family: str) -> None:
    for values in (
        SCORES[:1],
        [*SCORES, SCORES[0]],
        [SCORES[0], SCORES[1][:3]],
        [row[:3] for row in SCORES],
        [],
    ):
        outside = {"elsewhere": [{"sink": 1 - sum(row), "total": 1 - sum(row)} for row in values]}
        changes = scored(family, values, **(outside if family == "native_attention" else {}))
        refused("2 targets x 4 segments", **changes)


def test_standard_errors_have_the_shape_of_the_scores_and_are_not_negative() -> None:
    refused("another shape", results__0__scores__stderr=[[0.0] * 4])
    refused("another shape", results__0__scores__stderr=[[0.0] * 4, [0.0] * 3])
    refused("negative standard error", results__0__scores__stderr=[[0.0] * 4, [0.0, 0.0, 0.0, -0.5]])


def test_a_noise_floor_is_not_negative() -> None:
    refused("greater than or equal to 0", results__0__scores__noise_floor=-0.5)


@pytest.mark.parametrize("change", [0.01, -0.01, 2e-4])
def test_a_row_of_attention_and_its_elsewhere_add_up_to_one(change: float) -> None:
    refused("row 0 and its elsewhere", results__0__scores__values=[[0.5 + change, *SCORES[0][1:]], SCORES[1]])
    refused(
        "row 1 and its elsewhere", results__0__scores__values=[SCORES[0], [0.0625 + change, *SCORES[1][1:]]]
    )


def test_the_total_of_elsewhere_is_the_sum_of_its_parts() -> None:
    for part in ("instruction", "template", "special", "sink", "output_so_far", "blank"):
        refused("add up to", results__0__scores__elsewhere__0={part: 0.24, "total": 0.25})
        valid(results__0__scores__elsewhere__0={part: 0.25, "total": 0.25})
    refused("Field required", results__0__scores__elsewhere__0={"sink": 0.25})


def test_large_parts_of_elsewhere_may_cancel_as_far_as_float32_goes() -> None:
    parts = {"template": 70000.1, "sink": -70000.3, "total": -0.2}
    valid(**scored("gradient", SCORES, elsewhere=[parts, {"total": 0.0}]))


@pytest.mark.parametrize("family", ["native_attention", "gradient"])
def test_attention_and_relevance_say_what_fell_elsewhere(family: str) -> None:
    refused("needs elsewhere", **scored(family, SCORES, elsewhere=None))
    refused("values of elsewhere", **scored(family, SCORES, elsewhere=ELSEWHERE[:1]))


@pytest.mark.parametrize("family", ["logprob", "perturbation", "citation"])
def test_ablation_and_claims_know_no_elsewhere(family: str) -> None:
    refused("knows no elsewhere", **scored(family, SCORES, elsewhere=ELSEWHERE))


def test_each_result_is_checked_not_only_the_primary() -> None:
    first = explanation()["results"][0]
    second = explanation(**scored("logprob", [[0.0] * 3] * 2))["results"][0]
    refused("2 targets x 4 segments", results=[first, second])


# --- measures ---


@pytest.mark.parametrize("measure", ["fidelity", "groundedness"])
def test_a_measure_has_values_or_the_reason_why_not(measure: str) -> None:
    path = f"results__0__{measure}"
    refused("or the reason", **{path: {}})
    refused("or the reason", **{path: {"k": [1], "values": [[0.5], [0.5]], "reason": "both"}})
    refused("at least 1 character", **{path: {"reason": ""}})
    refused("one value for each k", **{path: {"k": [1, 2], "values": [[0.5], [0.5]]}})
    refused("one row for each target", **{path: {"k": [1], "values": [[0.5]]}})
    refused("greater than 0", **{path: {"k": [0], "values": [[0.5], [0.5]]}})
    refused("Field required", **{path: REMOVED})


# --- detail, the packed matrix ---


def test_detail_gives_back_the_floats_that_were_packed() -> None:
    detail = valid().results[0].detail
    assert detail is not None
    assert detail.matrix().tobytes() == DETAIL.tobytes()


def test_packing_is_gzip_of_little_endian_float32_row_by_row() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, -0.0]], dtype=np.float32)
    raw = gzip.decompress(base64.b64decode(pack(matrix)))
    assert raw == bytes.fromhex("0000803f 00000040 00004040 00000080")
    assert pack(matrix) == pack(np.asfortranarray(matrix))
    assert unpack(pack(matrix[:, :0]), (2, 0)).shape == (2, 0)


def packed(raw: bytes) -> str:
    return base64.b64encode(gzip.compress(raw, mtime=0)).decode()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("not base64!", "damaged"),
        ("é", "ASCII"),
        ("", "3 x 2"),
        (base64.b64encode(b"no gzip").decode(), "damaged"),
        (base64.b64encode(base64.b64decode(pack(DETAIL))[:-1]).decode(), "damaged"),
        (base64.b64encode(base64.b64decode(pack(DETAIL))[:-8]).decode(), "damaged"),
        (base64.b64encode(base64.b64decode(pack(DETAIL))[:-8] + b"\0" * 8).decode(), "damaged"),
        (base64.b64encode(base64.b64decode(pack(DETAIL)) + b"more").decode(), "damaged"),
        (packed(b"\0" * 20), "3 x 2"),
        (packed(b"\0" * 28), "3 x 2"),
        (packed(b"\0" * 10_000_000), "3 x 2"),
        (pack(np.full((3, 2), np.nan, dtype=np.float32)), "NaN"),
        (pack(np.full((3, 2), np.inf, dtype=np.float32)), "infinity"),
    ],
)
def test_a_damaged_detail_is_refused(values: str, message: str) -> None:
    refused(message, results__0__detail__values=values)


def test_a_small_text_cannot_fill_the_memory() -> None:
    import tracemalloc

    bomb = packed(b"\0" * 50_000_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match="3 x 2"):
        unpack(bomb, (3, 2))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("shape", [[2, 2], [3, 1], [2, 3], [-3, -2], [6, 1]])
def test_a_detail_of_another_shape_is_refused(shape: list[int]) -> None:
    refused("shape", results__0__detail__shape=shape)


@pytest.mark.parametrize("shape", [(-3, -2), (-3, 2), (3, -2), (0, -2)])
def test_a_negative_shape_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is negative"):
        unpack(pack(DETAIL), shape)


def test_a_detail_has_a_row_for_each_output_token() -> None:
    refused("one row for each token", output__tokens=explanation()["output"]["tokens"][:2])
    refused("one row for each token", output__tokens=None)


def test_the_tokens_of_a_detail_lie_in_their_sources() -> None:
    for token in (["note", 0, 15], ["note", 3, 2], ["note", -1, 2], ["nowhere", 0, 1], ["scan", 0, 1]):
        refused("is outside source", results__0__detail__tokens__0=token)


def test_the_detail_of_attention_adds_up_to_one_in_each_row() -> None:
    refused("add up to 1", results__0__detail__values=pack(DETAIL * np.float32(0.99)))
    shifted = DETAIL + np.array([[0, 0], [-0.5, 0.5], [0, 0]], dtype=np.float32)
    refused("weights that add up to 1", results__0__detail__values=pack(shifted - np.float32(0)))
    relevance = explanation()["results"][0]["detail"] | {"values": pack(DETAIL - 3)}
    valid(**scored("gradient", SCORES) | {"results__0__detail": relevance})


# --- reading it ---


def test_texts_are_cut_at_code_points() -> None:
    text = "👩🏽‍⚕️ä\r\n\0"
    end = len(text)
    e = valid(
        sources__1__text=text,
        segments__2__end=end,
        output__text=text,
        output__targets=[{"start": 0, "end": 1, "kind": "word"}, {"start": 1, "end": end, "kind": "word"}],
        output__tokens=None,
        results__0__detail=None,
        attention=None,
    )
    assert e.segment_text(2) == text
    assert (e.target_text(0), e.target_text(1)) == (text[:1], text[1:])
    assert e.segment_text(3) == ""


def test_the_matrix_keeps_signs() -> None:
    values = [[-1.5, 0.0, 2.0, -0.25], [0.5, -0.5, 0.0, 0.0]]
    matrix = valid(**scored("logprob", values)).matrix()
    assert matrix.dtype == np.float32
    assert matrix.tolist() == values


def test_another_result_than_the_primary_can_be_read() -> None:
    first = explanation()["results"][0]
    second = explanation(**scored("logprob", [[-1.0, 0.0, 2.0, 0.0]] * 2))["results"][0]
    e = valid(results=[first, second])
    assert e.matrix().tolist() == SCORES
    assert e.matrix(1).tolist() == [[-1.0, 0.0, 2.0, 0.0]] * 2
    assert e.shares(1).tolist() == [[0.0, 0.0, 1.0, 0.0]] * 2
    assert e.elsewhere_share(1).tolist() == [0.0, 0.0]
    assert [passage.segment for passage in e.top(0, result=1)] == [2]


def test_shares_of_attention_are_its_scores() -> None:
    e = valid()
    assert e.shares() == pytest.approx(np.array(SCORES))
    assert e.elsewhere_share() == pytest.approx([0.25, 0.625])


def test_shares_clip_negatives() -> None:
    e = valid(**scored("logprob", [[-4.0, 1.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]]))
    assert e.shares().tolist() == [[0.0, 0.25, 0.75, 0.0], [0.25, 0.25, 0.25, 0.25]]
    assert e.elsewhere_share().tolist() == [0.0, 0.0]


def test_shares_of_relevance_count_what_fell_elsewhere_unless_it_is_negative() -> None:
    outside = [{"template": 4.0, "total": 4.0}, {"sink": -4.0, "total": -4.0}]
    e = valid(**scored("gradient", [[1.0, 3.0, -2.0, 0.0], [1.0, 3.0, 0.0, 0.0]], elsewhere=outside))
    assert e.shares().tolist() == [[0.125, 0.375, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0]]
    assert e.elsewhere_share().tolist() == [0.5, 0.0]


@pytest.mark.parametrize("floor", [0.7, 0.3, 0.5, 1e-8])
def test_scores_under_the_noise_floor_have_no_share_and_those_at_it_have(floor: float) -> None:
    under = float(np.nextafter(np.float32(floor), np.float32(0)))
    values = [[floor, under, -floor, 0.0], [under, -under, 0.0, 0.0]]
    e = valid(**scored("perturbation", values, noise_floor=floor))
    assert e.shares().tolist() == [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert e.elsewhere_share().tolist() == [0.0, 1.0]
    assert e.matrix()[0, 1] == np.float32(under)


def test_claims_share_in_equal_parts() -> None:
    e = valid(**scored("citation", [[1.0, 0.0, 3.0, 0.5], [0.0, 0.0, 0.0, 0.0]]))
    assert e.shares()[0] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert e.shares()[1].tolist() == [0.0] * 4
    assert e.elsewhere_share() == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("family", ["logprob", "perturbation", "gradient", "citation"])
def test_with_nothing_left_the_shares_are_zero_and_elsewhere_is_one(family: str) -> None:
    nothing = 0.0 if family == "citation" else -1.0
    e = valid(**scored(family, [[nothing] * 4, [0.0] * 4]))
    assert e.shares().tolist() == [[0.0] * 4] * 2
    assert e.elsewhere_share().tolist() == [1.0, 1.0]
    assert e.top(0) == []


def test_top_is_best_first_with_ties_in_reading_order() -> None:
    e = valid(**scored("logprob", [[1.0, 2.0, 1.0, -9.0], [1.0, 1.0, 1.0, 1.0]]))
    assert [passage.segment for passage in e.top(0)] == [1, 0, 2]
    assert [passage.segment for passage in e.top(0, 2)] == [1, 0]
    assert [passage.segment for passage in e.top(0, 99)] == [1, 0, 2]
    assert [passage.segment for passage in e.top(1, 4)] == [0, 1, 2, 3]


def test_a_passage_says_where_it_is_and_what_it_weighs() -> None:
    passage = valid().top(0, 1)[0]
    assert passage.model_dump() == {
        "segment": 0,
        "source": "note",
        "start": 0,
        "end": 7,
        "text": "HR 88. ",
        "score": 0.5,
        "share": pytest.approx(0.5),
    }
    region = valid(**scored("logprob", [[0.0, 0.0, 0.0, 1.0]] * 2)).top(0)[0]
    assert (region.source, region.start, region.end, region.text) == ("scan", None, None, "")


def test_top_of_nothing_and_of_no_target_is_an_error() -> None:
    e = valid()
    for k in (0, -1):
        with pytest.raises(ValueError, match="at least one"):
            e.top(0, k)
    for target in (2, -1):
        with pytest.raises(IndexError, match="targets 0 to 1"):
            e.top(target)


# --- any explanation ---

HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            "\0\t\n\r\x0b\x1b\x7f\x85\u200b\u200d\u202e\u2066\u2028\ufeff\ufffd👩🏽\u0301漢字אش<>&\"'\\"
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=12,
)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def spans(draw: st.DrawFn, text: str, kind: str) -> list[tuple[int, int]]:
    """A partition of the text, or for tokens some of it, in order, with repetition."""
    if kind in ("source", "whole"):
        return [(0, len(text))]
    cuts = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=3))})
    parts = list(itertools.pairwise(cuts))
    if kind != "token":
        return parts
    return sorted(draw(st.lists(st.sampled_from(parts), min_size=1, max_size=4)))


@st.composite
def results(draw: st.DrawFn, targets: int, segments: int) -> dict[str, Any]:
    """One result of any family, with values of any size, or weights where it is attention."""
    family = draw(st.sampled_from(sorted(EVIDENCE)))
    number = st.integers(0, 8).map(float) if family in ("native_attention", "citation") else FLOAT32
    row = st.lists(number, min_size=segments, max_size=segments)
    values = np.array(draw(st.lists(row, min_size=targets, max_size=targets)), dtype=np.float32)
    elsewhere: list[dict[str, float]] | None = None
    if family == "native_attention":
        values = (values / np.float32(8 * segments)).astype(np.float32)
        rest = 1 - values.sum(axis=1, dtype=np.float64)
        elsewhere = [{"sink": max(value, 0.0), "total": max(value, 0.0)} for value in rest.tolist()]
    elif family == "gradient":
        outside = draw(st.lists(FLOAT32, min_size=targets, max_size=targets))
        elsewhere = [{"blank": value, "total": value} for value in outside]
    return {
        "method": {
            "name": draw(HOSTILE),
            "family": family,
            "evidence": EVIDENCE[family],
            "access": draw(st.sampled_from(["weights", "logprobs", "text"])),
            "parameters": draw(
                st.dictionaries(HOSTILE, st.none() | st.booleans() | FLOAT32 | HOSTILE, max_size=2)
            ),
            "seed": draw(st.none() | st.integers(0, 2**63)),
        },
        "scores": {
            "values": values.tolist(),
            "unit": UNITS[family],
            "signed": family not in ("native_attention", "citation"),
            "elsewhere": elsewhere,
            "noise_floor": draw(st.none() | FLOAT32.map(abs)),
        },
        "fidelity": {"reason": "not measured"},
        "groundedness": {"k": [1], "values": [[draw(FLOAT32)] for _ in range(targets)], "unit": "nats"},
        "caveats": [draw(HOSTILE) + "."],
    }


@st.composite
def explanations(draw: st.DrawFn) -> Explanation:
    """Any explanation, in any language."""
    sources, segments = [], []
    for index in range(draw(st.integers(1, 3))):
        text = draw(HOSTILE.filter(bool))
        kind = draw(st.sampled_from(["token", "word", "sentence", "paragraph", "source"]))
        names = {
            "id": f"s{index}",
            "name": draw(HOSTILE),
            "metadata": draw(st.dictionaries(HOSTILE, HOSTILE, max_size=2)),
        }
        sources.append({**names, "kind": draw(st.sampled_from(["document", "message"])), "text": text})
        for start, end in draw(spans(text, kind)):
            segments.append({"source": f"s{index}", "kind": kind, "start": start, "end": end})
    output = draw(HOSTILE.filter(bool))
    kind = draw(st.sampled_from(["token", "word", "sentence", "whole"]))
    targets = [{"start": start, "end": end, "kind": kind} for start, end in draw(spans(output, kind))]
    zone = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    return valid(
        created_at=draw(st.datetimes(datetime(1970, 1, 2), timezones=zone)),
        prompt={"instruction": draw(HOSTILE), "messages": [{"role": "user", "content": [draw(HOSTILE)]}]},
        sources=sources,
        segments=segments,
        output={"text": output, "given": draw(st.booleans()), "targets": targets},
        results=draw(st.lists(results(len(targets), len(segments)), min_size=1, max_size=2)),
        attention=None,
        cost={"calls": draw(st.integers(0, 2**63)), "seconds": draw(FLOAT32.map(abs))},
    )


@given(explanations())
def test_json_gives_the_same_explanation_back(e: Explanation) -> None:
    text = e.model_dump_json()
    again = Explanation.model_validate_json(text)
    assert again == e
    assert again.model_dump_json() == text
    assert Explanation.model_validate(e.model_dump()) == e
    for index in range(len(e.results)):
        assert again.matrix(index).tobytes() == e.matrix(index).tobytes()


@given(st.lists(st.lists(FLOAT32, min_size=4, max_size=4), min_size=2, max_size=2))
def test_scores_are_the_float32_that_went_in_bit_for_bit_also_through_json(values: list[list[float]]) -> None:
    matrix = np.array(values, dtype=np.float32)
    e = valid(**scored("logprob", matrix.tolist()))
    assert e.matrix().tobytes() == matrix.tobytes()
    assert Explanation.model_validate_json(e.model_dump_json()).matrix().tobytes() == matrix.tobytes()


def test_scores_are_written_with_the_fewest_digits() -> None:
    e = valid(**scored("logprob", np.array([[0.1, 1 / 3, 1e-45, 3.4e38]] * 2, dtype=np.float32).tolist()))
    assert json.loads(e.model_dump_json())["results"][0]["scores"]["values"][0] == [
        0.1,
        0.33333334,
        1e-45,
        3.4e38,
    ]


@given(explanations())
def test_shares_are_parts_of_one(e: Explanation) -> None:
    for index, result in enumerate(e.results):
        shares, rest = e.shares(index), e.elsewhere_share(index)
        assert (shares >= 0).all()
        assert (rest >= 0).all()
        assert shares.sum(axis=1) + rest == pytest.approx(np.ones(len(rest)))
        assert (shares[e.matrix(index) <= 0] == 0).all()
        if result.scores.elsewhere is None:
            assert np.isclose(rest, 0).tolist() == shares.any(axis=1).tolist()
        for target in range(len(rest)):
            passages = e.top(target, len(e.segments), result=index)
            scores = [passage.score for passage in passages]
            assert scores == sorted(scores, reverse=True)
            assert sorted(passage.segment for passage in passages) == np.flatnonzero(shares[target]).tolist()


SCHEMA = Explanation.model_json_schema()


@given(explanations())
@settings(max_examples=30, deadline=None)
def test_the_published_schema_accepts_what_we_write(e: Explanation) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(e.model_dump_json()))


def test_the_published_schema_is_one_and_knows_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.validate(json.loads(valid().model_dump_json()))
    for path, value in [
        (("schema_version",), "9"),
        (("segments", 0, "start"), -1),
        (("results", 0, "caveats"), []),
    ]:
        made = explanation()
        put(made, list(path), value)
        assert not validator.is_valid(made)


def test_a_large_explanation_is_made_in_seconds() -> None:
    targets, segments = 250, 2000
    values: NDArray[np.float32] = np.full((targets, segments), 1 / 4096, dtype=np.float32)
    changes = {
        "sources": [{"id": "s", "name": "s", "kind": "document", "text": "ab" * segments}],
        "segments": [
            {"source": "s", "kind": "word", "start": 2 * i, "end": 2 * i + 2} for i in range(segments)
        ],
        "output__text": "x" * targets,
        "output__targets": [{"start": i, "end": i + 1, "kind": "word"} for i in range(targets)],
        "output__tokens": None,
        "created_at": datetime.now(UTC),
        "results__0__fidelity": {"reason": "none"},
        "attention": None,
        **scored(
            "native_attention",
            values.tolist(),
            elsewhere=[{"sink": 1 - segments / 4096, "total": 1 - segments / 4096}] * targets,
        ),
    }
    made = explanation(**changes)
    start = time.process_time()
    Explanation.model_validate(made)
    assert time.process_time() - start < 3
