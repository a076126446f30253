"""The full attention tensor: what is kept, how exactly, what a limit leaves out, and what is refused."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydantic import ValidationError

from whence import AttentionBlock, Explainer, Explanation, FakeProvider, KeepAttention, UnsupportedError
from whence.demo.records import PROMPT, generate
from whence.explain.cells import BOUNDS, DTYPES, Encoding, decode, encode, pool
from whence.explain.keeper import TensorKeeper
from whence.explain.methods.attention import NativeAttention
from whence.explain.methods.base import Effort, Finding, Task
from whence.explain.packing import pack, pack_plain, unpack
from whence.explain.tensor import GZIP_IN_BASE64, PRECISION
from whence.providers.base import Capabilities, Progress, Watcher
from whence.providers.errors import CaptureError, ContextLengthError, InputError
from whence.providers.fake import CUE_MASS, INSTRUCTION_MASS, SINK_MASS, Rule
from whence.providers.observations import AttentionQuery, AttentionRows, Block, BlockName, Generation, Token
from whence.providers.prompt import Prompt

Weights = NDArray[np.float32]
ENCODINGS: tuple[Encoding, ...] = ("u8_log", "float16")
HOSTILE = "</script><img src=x onerror=alert(1)>\0\u202e👩🏽‍⚕️{{7*7}}"
WEIGHT = st.floats(0, 1, width=32) | st.floats(2.0**-40, 1, width=32).map(lambda x: float(np.float32(x**4)))
SHAPES = st.tuples(st.integers(1, 150), st.integers(1, 150))


def attention(seed: int, shape: tuple[int, int], *, blank: float = 0.3) -> Weights:
    """Rows that sum to one, of weights from 1e-8 to 1, and some that are 0."""
    rng = np.random.default_rng(seed)
    raw = 10 ** rng.uniform(-8, 0, shape) * (rng.random(shape) > blank)
    raw[:, 0] += 1e-3
    weights: Weights = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def tokens(count: int, part: Any = "instruction") -> tuple[Token, ...]:
    return tuple(Token(part=part, text=f"t{number}") for number in range(count))


def block(
    shape: tuple[int, int] = (4, 4),
    *,
    name: BlockName = "decoder",
    layers: Sequence[int] = (0, 1),
    heads: int = 2,
    explaining: Sequence[int] = (2, 3),
) -> Block:
    return Block(
        name=name,
        layers=tuple(layers),
        heads=heads,
        queries=tokens(shape[0]),
        keys=tokens(shape[1]),
        explaining=tuple(explaining),
    )


def keep(
    *blocks: Block, encoding: Encoding = "u8_log", limit_bytes: int = 2**26, blank: float = 0.3
) -> tuple[tuple[AttentionBlock, ...], dict[tuple[str, int, int], Weights]]:
    """What a keeper makes of synthetic weights, heads in a mixed order, and the weights of all queries."""
    keeper = TensorKeeper(KeepAttention(encoding=encoding, limit_bytes=limit_bytes), ids=[])
    wanted = keeper.begin(blocks)
    shown: dict[tuple[str, int, int], Weights] = {}
    for one in blocks:
        for layer in reversed(one.layers):
            for head in range(one.heads):
                weights = attention(len(shown), (len(one.queries), len(one.keys)), blank=blank)
                shown[one.name, layer, head] = weights
                keeper.see(one.name, layer, head, weights[list(wanted[one.name])])
    return keeper.finish(), shown


def assert_within(got: Weights, true: Weights, encoding: Encoding) -> None:
    """As near as the encoding says: relative from its floor on, absolute below."""
    floor, relative, absolute = BOUNDS[encoding]
    apart, true64 = np.abs(got.astype(np.float64) - true), true.astype(np.float64)
    above = true >= np.float32(floor)
    assert (apart[above] <= relative * true64[above]).all()
    assert (apart[~above] <= absolute).all()
    assert (got[true == 0] == 0).all()


# --- one number in one byte, or in two ---


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(weights=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=WEIGHT))
@example(weights=np.array([[0.0, -0.0, 1.0, 1e-6, 1e-45, 2**-14, 2**-25, 6e-8]], dtype=np.float32))
def test_decoding_gives_the_weights_back_within_the_stated_error(
    weights: Weights, encoding: Encoding
) -> None:
    assert_within(decode(encode(weights, encoding), encoding), weights, encoding)


def test_the_stated_error_holds_for_every_magnitude_and_is_no_larger_than_it_must_be() -> None:
    """Float32 in 1.7 million steps from the floor to 1: every exponent, every upper half of a significand."""
    first, last = np.array([1e-6, 1.0], dtype=np.float32).view(np.uint32)
    weights = np.arange(first, last + 1, 100, dtype=np.uint32).view(np.float32)
    error = np.abs(decode(encode(weights, "u8_log"), "u8_log").astype(np.float64) - weights) / weights
    assert 0.02718 < error.max() <= BOUNDS["u8_log"].relative
    halves = np.arange(2**-14, 2**-12, 2**-26, dtype=np.float32)
    error = np.abs(decode(encode(halves, "float16"), "float16").astype(np.float64) - halves) / halves
    assert 2.0**-11 * 0.99 < error.max() <= BOUNDS["float16"].relative
    small = np.arange(0, 2**-14, 2**-27, dtype=np.float32)
    error = np.abs(decode(encode(small, "float16"), "float16").astype(np.float64) - small)
    assert error.max() == BOUNDS["float16"].absolute


@given(hnp.arrays(np.float32, 50, elements=WEIGHT))
def test_a_code_is_that_of_the_nearest_level(weights: Weights) -> None:
    levels = [10 ** (6 * (code - 255) / 254) for code in range(1, 256)]
    for weight, code in zip(weights.tolist(), encode(weights, "u8_log").tolist(), strict=True):
        if weight < np.float32(1e-6):
            assert code == 0
        else:
            nearest = min(abs(weight - level) for level in levels)
            assert abs(weight - levels[code - 1]) == pytest.approx(nearest, rel=1e-5, abs=1e-12)


def test_the_codes_are_spaced_evenly_in_the_logarithm_from_a_millionth_to_one() -> None:
    levels = decode(np.arange(256, dtype=np.uint8), "u8_log").astype(np.float64)
    assert (levels[0], levels[1], levels[255]) == (0.0, np.float32(1e-6), 1.0)
    ratios = np.diff(np.log10(levels[1:]))
    assert ratios == pytest.approx(np.full(254, 6 / 254), rel=1e-4)
    assert encode(levels.astype(np.float32), "u8_log").tolist() == list(range(256))


def test_most_small_weights_keep_a_code_which_equal_steps_would_not_give_them() -> None:
    weights = attention(1, (300, 300), blank=0.0)
    assert (np.rint(weights * 255) == 0).mean() > 0.7
    assert (encode(weights, "u8_log") == 0).mean() < 0.5


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_weight_that_rounding_left_above_one_counts_as_one(encoding: Encoding) -> None:
    just_above = np.array([[1 + 1e-6]], dtype=np.float32)
    assert just_above[0, 0] > 1
    (made,) = kept_as(just_above, encoding)
    assert made.weights(0, 0).tolist() == [[1.0]]


def kept_as(weights: Weights, encoding: Encoding = "u8_log") -> tuple[AttentionBlock, ...]:
    keeper = TensorKeeper(KeepAttention(encoding=encoding), ids=[])
    keeper.begin([block(weights.shape, layers=[0], heads=1, explaining=[])])
    keeper.see("decoder", 0, 0, weights)
    return keeper.finish()


@pytest.mark.parametrize("value", [-1e-6, 1.001, np.nan, np.inf, -np.inf])
def test_what_cannot_be_a_weight_is_refused(value: float) -> None:
    weights = attention(0, (5, 7))
    weights[3, 2] = value
    with pytest.raises(CaptureError, match="layer 0, head 0: attention weights are between 0 and 1"):
        kept_as(weights)


# --- thumbnails ---


def pooled_by_hand(weights: Weights) -> Weights:
    n, m = weights.shape
    rows, columns = min(n, 64), min(m, 64)
    cells: Weights = np.zeros((rows, columns), dtype=np.float32)
    for q in range(n):
        for k in range(m):
            cell = q * rows // n, k * columns // m
            cells[cell] = max(cells[cell], weights[q, k])
    return cells


@given(st.tuples(st.integers(1, 140), st.integers(1, 140)), st.integers(0, 1000))
@settings(max_examples=40)
@example((64, 64), 0)
@example((65, 63), 0)
@example((1, 129), 0)
def test_a_thumbnail_holds_the_greatest_weight_of_each_cell(shape: tuple[int, int], seed: int) -> None:
    weights = attention(seed, shape)
    wanted = pooled_by_hand(weights)
    assert pool(weights).tolist() == wanted.tolist()
    (made,) = kept_as(weights)
    assert made.thumbnail_shape == wanted.shape == (min(shape[0], 64), min(shape[1], 64))
    assert_within(made.thumbnail_of(0, 0), wanted, "u8_log")


def test_a_peak_is_seen_in_the_thumbnail_wherever_it_is() -> None:
    for q, k in [(0, 0), (999, 699), (500, 13)]:
        weights = np.full((1000, 700), 1e-5, dtype=np.float32)
        weights[q, k] = 0.9
        (made,) = kept_as(weights)
        thumbnail = made.thumbnail_of(0, 0)
        assert np.argwhere(thumbnail > 0.5).tolist() == [[q * 64 // 1000, k * 64 // 700]]


# --- blocks ---


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_weight_of_every_head_comes_back_also_through_json(encoding: Encoding) -> None:
    blocks, shown = keep(
        block((70, 90), name="cross", layers=[1, 3], heads=3, explaining=[5, 6]),
        block((90, 90), name="encoder", layers=[0, 1, 2], explaining=[]),
        block((70, 70), layers=[0, 2]),
        encoding=encoding,
    )
    assert [made.name for made in blocks] == ["encoder", "decoder", "cross"]
    for made in blocks:
        again = AttentionBlock.model_validate_json(made.model_dump_json())
        assert again == made
        assert made.left_out is None
        assert made.precision == PRECISION[encoding]
        assert [(h.layer, h.head) for h in made.data] == [
            (layer, head) for layer in made.layers for head in range(made.heads)
        ]
        for layer in made.layers:
            for head in range(made.heads):
                true = shown[made.name, layer, head]
                for decoded in (made.weights(layer, head), again.weights(layer, head)):
                    assert decoded.dtype == np.float32
                    assert_within(decoded, true, encoding)
                sums = again.row_sums_of(layer, head)
                assert sums.dtype == np.float32
                assert sums.tolist() == true.sum(axis=1, dtype=np.float64).astype(np.float32).tolist()


@given(SHAPES, st.sampled_from(ENCODINGS), st.integers(0, 1000))
def test_any_shape_comes_back(shape: tuple[int, int], encoding: Encoding, seed: int) -> None:
    weights = attention(seed, shape)
    (made,) = kept_as(weights, encoding)
    assert_within(made.weights(0, 0), weights, encoding)


def test_a_reader_of_the_published_schema_can_decode_a_block() -> None:
    """By what the descriptions say, with none of our code: base64, gzip, and the formula."""
    (made,), shown = keep(block((70, 90), explaining=[]))
    published = json.dumps(AttentionBlock.model_json_schema())
    assert "10 ** (6 * (c - 255) / 254)" in published
    assert "floor(q * rows / n), floor(k * columns / m)" in published
    plain = json.loads(made.model_dump_json())
    first = plain["data"][0]
    weights = shown["decoder", first["layer"], first["head"]]
    codes = gzip.decompress(base64.b64decode(first["values"]))
    assert len(codes) == 70 * 90
    decoded = [0.0 if c == 0 else 10 ** (6 * (c - 255) / 254) for c in codes]
    assert_within(np.array(decoded, dtype=np.float32).reshape(70, 90), weights, "u8_log")
    assert first["values"].startswith(GZIP_IN_BASE64)
    rows, columns = plain["thumbnail_shape"]
    assert len(base64.b64decode(first["thumbnail"])) == rows * columns
    sums = struct.unpack("<70f", base64.b64decode(first["row_sums"]))
    assert sums == pytest.approx([1.0] * 70, abs=1e-5)


def test_float16_is_little_endian_row_by_row() -> None:
    (made,) = kept_as(np.array([[0.5, 0.5], [0.0, 0.25]], dtype=np.float32), "float16")
    assert gzip.decompress(base64.b64decode(made.data[0].values or "")) == bytes.fromhex("0038003800000034")


def test_the_same_weights_give_the_same_text() -> None:
    one, other = (keep(block((60, 60)))[0] for _ in range(2))
    assert one == other
    assert base64.b64decode(one[0].data[0].values or "")[4:8] == bytes(4), "no time in the gzip header"


def test_what_sinks_of_the_model_took_shows_in_the_row_sums() -> None:
    weights = attention(0, (3, 5)) * np.array([[1], [0.5], [0]], dtype=np.float32)
    (made,) = kept_as(weights.astype(np.float32))
    assert made.row_sums_of(0, 0) == pytest.approx([1, 0.5, 0], abs=1e-6)


def test_a_head_that_the_model_does_not_have_is_an_error() -> None:
    (made,), _ = keep(block(layers=[1, 3]))
    for layer, head in [(0, 0), (2, 0), (1, 2), (1, -1), (4, 0)]:
        for read in (made.weights, made.thumbnail_of, made.row_sums_of):
            with pytest.raises(IndexError, match="has heads 0 to 1 in layers 1, 3"):
                read(layer, head)


def test_a_representation_does_not_hold_the_tensor() -> None:
    e = Explainer("fake").explain("Do.", sources=["alpha"], attention=True)
    assert GZIP_IN_BASE64 not in repr(e)
    assert GZIP_IN_BASE64 in e.model_dump_json()


# --- the limit ---


def size(blocks: Sequence[AttentionBlock]) -> int:
    """All base64 text, in bytes."""
    return sum(
        len(text or "")
        for made in blocks
        for head in made.data
        for text in (head.values, head.thumbnail, head.row_sums)
    )


@st.composite
def any_blocks(draw: st.DrawFn) -> list[Block]:
    names: list[BlockName] = draw(
        st.sampled_from([["decoder"], ["encoder"], ["encoder", "decoder", "cross"], ["cross", "encoder"]])
    )
    made = []
    for name in names:
        queries, keys = draw(st.tuples(st.integers(1, 80), st.integers(1, 80)))
        explaining = st.lists(st.integers(0, queries - 1), max_size=5)
        layers = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True).map(sorted))
        made.append(
            block(
                (queries, keys),
                name=name,
                layers=layers,
                heads=draw(st.integers(1, 3)),
                explaining=draw(explaining),
            )
        )
    return made


@given(any_blocks(), st.integers(1, 60_000), st.sampled_from(ENCODINGS), st.sampled_from([0.0, 0.9]))
@example([block((80, 80))], 1, "u8_log", 0.0)
def test_the_limit_holds_and_what_it_leaves_out_is_stated(
    drawn: list[Block], limit_bytes: int, encoding: Encoding, blank: float
) -> None:
    blocks, shown = keep(*drawn, encoding=encoding, limit_bytes=limit_bytes, blank=blank)
    assert size(blocks) <= limit_bytes
    asked = {one.name: one for one in drawn}
    assert {made.name for made in blocks} == set(asked)
    for made in blocks:
        queries, count = len(asked[made.name].queries), len(made.data)
        values = sum(head.values is None for head in made.data)
        bare = sum(head.thumbnail is None for head in made.data)
        said = made.left_out or ""
        assert bool(said) == (values > 0 or len(made.queries) < queries)
        assert (f"Only the {len(made.queries)} of {queries} queries" in said) == (len(made.queries) < queries)
        assert (f"The values of {values} of {count} heads are left out" in said) == (values > 0)
        assert (f"the thumbnails and row sums of {bare} of these heads" in said) == (bare > 0)
        assert (f"{limit_bytes:,} bytes" in said) == bool(said)
        for head in made.data:
            true = shown[made.name, head.layer, head.head][list(made.positions)]
            if head.values is not None:
                assert_within(made.weights(head.layer, head.head), true, encoding)
            if head.thumbnail is not None:
                assert made.row_sums_of(head.layer, head.head) == pytest.approx(true.sum(axis=1), abs=1e-5)


def test_within_the_default_limit_nothing_is_left_out() -> None:
    assert KeepAttention().limit_bytes == 64 * 2**20
    blocks, _ = keep(block((200, 200), layers=range(4), heads=4))
    assert [made.left_out for made in blocks] == [None]
    assert len(blocks[0].queries) == 200


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_only_the_rows_that_explain_are_kept_where_all_would_exceed_the_limit(encoding: Encoding) -> None:
    cells = 2 * 2 * 100 * 50 * (1 if encoding == "u8_log" else 2)
    asked = block((100, 50), explaining=[98, 40, 98])
    (all_rows,), _ = keep(asked, encoding=encoding, limit_bytes=cells, blank=0.9)
    assert all_rows.positions == tuple(range(100))
    assert all_rows.explaining == (98, 40, 98)
    (made,), shown = keep(asked, encoding=encoding, limit_bytes=cells - 1, blank=0.9)
    assert made.left_out == (
        f"Only the 2 of 100 queries that explain the output are kept: all would exceed the limit of "
        f"{cells - 1:,} bytes."
    )
    assert made.positions == (40, 98)
    assert [token.text for token in made.queries] == ["t40", "t98"]
    assert made.explaining == (1, 0, 1), "each token of the output still finds its row"
    assert made.thumbnail_shape == (2, 50)
    assert_within(made.weights(0, 1), shown["decoder", 0, 1][[40, 98]], encoding)


def test_heads_beyond_the_limit_keep_their_thumbnails_and_say_why() -> None:
    asked = block((40, 40), layers=range(12), heads=3, explaining=range(40))
    (whole,), _ = keep(asked)
    summaries = sum(len(h.thumbnail or "") + len(h.row_sums or "") for h in whole.data)
    of_eight_layers = sum(len(h.values or "") for h in whole.data if h.layer >= 4)  # the last are shown first
    (made,), _ = keep(asked, limit_bytes=summaries + of_eight_layers + 10)
    assert {h.layer for h in made.data if h.values is None} == {0, 1, 2, 3}
    assert made.left_out == (
        "The values of 12 of 36 heads are left out (layers 0 to 3): with them the tensor would exceed the "
        f"limit of {summaries + of_eight_layers + 10:,} bytes."
    )
    assert made.thumbnail_of(0, 0).tolist() == whole.thumbnail_of(0, 0).tolist()
    assert made.row_sums_of(0, 0).tolist() == whole.row_sums_of(0, 0).tolist()
    with pytest.raises(ValueError, match="layer 0, head 0 has no values: The values of 12 of 36 heads"):
        made.weights(0, 0)


def test_a_limit_for_nothing_at_all_leaves_only_the_statement() -> None:
    (made,), _ = keep(block(layers=[0, 2, 3, 4, 7]), limit_bytes=1)
    assert size([made]) == 0
    assert "The values of 10 of 10 heads are left out (layers 0, 2 to 4, 7)" in (made.left_out or "")
    assert "So are the thumbnails and row sums of 10 of these heads." in (made.left_out or "")
    with pytest.raises(ValueError, match="has no thumbnail: Only the 2 of 4"):
        made.thumbnail_of(0, 0)
    with pytest.raises(ValueError, match="has no row sums"):
        made.row_sums_of(0, 0)


def test_blocks_that_explain_the_output_come_before_one_that_does_not() -> None:
    asked = (
        block((60, 60), name="encoder", explaining=[]),
        block((9, 60), name="cross", explaining=range(9)),
    )
    (_, cross), _ = keep(*asked)
    (encoder, kept), _ = keep(*asked, limit_bytes=30_000)
    assert [h.values for h in kept.data] == [h.values for h in cross.data]
    assert any(h.values is None for h in encoder.data), "the encoder was shown first, and had to wait"


@pytest.mark.parametrize("limit", [0, -1, 1.5, "64", None, True])
def test_a_limit_is_a_number_of_bytes(limit: Any) -> None:
    with pytest.raises(InputError, match="limit_bytes is"):
        KeepAttention(limit_bytes=limit)


def test_the_options_are_what_they_are_called() -> None:
    assert KeepAttention.wanted(False) is None
    assert KeepAttention.wanted(True) == KeepAttention.wanted("u8") == KeepAttention()
    assert KeepAttention.wanted("float16") == KeepAttention(encoding="float16")
    own = KeepAttention(limit_bytes=5)
    assert KeepAttention.wanted(own) is own
    with pytest.raises(InputError, match="choose one of u8_log, float16"):
        KeepAttention(encoding="u8")  # type: ignore[arg-type]


# --- what a model shows ---


def test_a_keeper_holds_one_head_at_a_time() -> None:
    """Sixteen heads of a megabyte each in float32, which in one byte each are a fraction of that."""
    asked = block((512, 512), layers=range(4), heads=4, explaining=[])
    keeper = TensorKeeper(KeepAttention(), ids=[])
    keeper.begin([asked])
    weights = np.eye(512, dtype=np.float32)
    tracemalloc.start()
    for layer in range(4):
        for head in range(4):
            keeper.see("decoder", layer, head, weights)
    assert tracemalloc.get_traced_memory()[1] < 2 * weights.nbytes
    tracemalloc.stop()


def test_a_head_of_another_shape_or_missing_or_without_a_model_is_an_error() -> None:
    keeper = TensorKeeper(KeepAttention(), ids=[])
    with pytest.raises(CaptureError, match="no attention weights"):
        keeper.finish()
    keeper.begin([block(layers=[0], heads=2)])
    with pytest.raises(CaptureError, match=r"showed \(4, 5\) weights, not \(4, 4\)"):
        keeper.see("decoder", 0, 0, attention(0, (4, 5)))
    keeper.see("decoder", 0, 0, attention(0, (4, 4)))
    for layer, head in [(0, 0), (1, 0), (0, 2)]:
        with pytest.raises(CaptureError, match="no such head, or showed it twice"):
            keeper.see("decoder", layer, head, attention(0, (4, 4)))
    with pytest.raises(CaptureError, match="1 of 2 heads were never shown"):
        keeper.finish()


def test_a_pass_that_begins_again_begins_from_nothing() -> None:
    keeper = TensorKeeper(KeepAttention(), ids=[])
    for seed in (1, 2):
        keeper.begin([block(layers=[0], heads=1)])
        keeper.see("decoder", 0, 0, attention(seed, (4, 4)))
    (made,) = keeper.finish()
    assert_within(made.weights(0, 0), attention(2, (4, 4)), "u8_log")


# --- what is refused ---


def changed(**changes: Any) -> AttentionBlock:
    """A block of one layer and two heads over 4 x 4 tokens, with changes to its fields."""
    (made,), _ = keep(block(layers=[1]))
    return AttentionBlock.model_validate(json.loads(made.model_dump_json()) | changes)


def heads(**changes: Any) -> list[dict[str, Any]]:
    """The heads of that block, with changes to the first."""
    first, second = json.loads(changed().model_dump_json())["data"]
    return [first | changes, second]


def with_value(matrix: NDArray[Any], dtype: Any = "|u1") -> list[dict[str, Any]]:
    return heads(values=pack(matrix, dtype))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": [1, 1]}, "not in order, or not different"),
        ({"layers": [2, 1]}, "not in order, or not different"),
        ({"layers": [1, 2]}, "not every head of every layer"),
        ({"layers": [2]}, "not every head of every layer"),
        ({"layers": [], "data": []}, "at least 1"),
        ({"heads": 3}, "not every head of every layer"),
        ({"heads": 0}, "greater than 0"),
        ({"data": heads()[:1]}, "not every head of every layer"),
        ({"data": heads()[::-1]}, "not every head of every layer"),
        ({"data": [heads()[0]] * 2}, "not every head of every layer"),
        ({"queries": [], "positions": []}, "at least 1"),
        ({"keys": []}, "at least 1"),
        ({"keys": [{"text": "a", "part": "sink"}] * 5}, "is not the thumbnail of 4 x 5"),
        ({"positions": [0, 1, 2]}, "one for each row"),
        ({"positions": [0, 2, 1, 3]}, "ascending"),
        ({"positions": [0, 1, 2, 2]}, "ascending"),
        ({"explaining": [4]}, "beyond the 4"),
        ({"explaining": [-1]}, "greater than or equal to 0"),
        ({"thumbnail_shape": [4, 3]}, "is not the thumbnail of 4 x 4"),
        ({"encoding": "float16"}, "not that of float16"),
        ({"encoding": "u8"}, "'u8_log' or 'float16'"),
        (
            {"precision": {"floor": 1e-6, "relative_error": 0.01, "absolute_error": 1e-6}},
            "not that of u8_log",
        ),
        ({"name": "memory"}, "'encoder', 'decoder' or 'cross'"),
        ({"left_out": ""}, "at least 1 character"),
        ({"data": heads(values=None)}, "left_out does not say so"),
        ({"data": heads(values=None, thumbnail=None)}, "both thumbnail and row sums"),
        ({"data": heads(values=None, row_sums=None)}, "both thumbnail and row sums"),
        ({"data": heads(thumbnail=None, row_sums=None)}, "with values has a thumbnail"),
        ({"data": heads(values="AAAA")}, "not a gzip stream"),
        ({"data": heads(values="H4sIAA")}, "not a gzip stream"),
        ({"data": heads(values="H4sIéééé")}, "not a gzip stream"),
        ({"data": heads(thumbnail="AAAA")}, "does not hold 4 x 4 values of uint8"),
        ({"data": heads(thumbnail="!!!!")}, "damaged"),
        ({"data": heads(row_sums=pack_plain(np.ones(5), "<f4"))}, "does not hold 4 values of float32"),
        ({"data": heads(row_sums=pack_plain(np.full(4, np.nan), "<f4"))}, "NaN"),
        ({"data": heads(row_sums=pack_plain(np.full(4, 1.5), "<f4"))}, "more than 1"),
        ({"data": heads(row_sums=pack_plain(np.full(4, -0.5), "<f4"))}, "less than 0"),
    ],
)
def test_a_block_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        changed(**changes)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ({"text": "a", "part": "source"}, "a token of a source names it"),
        ({"text": "a", "part": "sink", "source": "s1"}, "no other token does"),
        ({"text": "a", "part": "output", "start": 2, "end": 1}, "cannot stand at"),
        ({"text": "a", "part": "template", "start": 0, "end": 1}, "cannot stand at"),
        ({"text": "a", "part": "output", "start": -1, "end": 1}, "greater than or equal to 0"),
        ({"text": "\ud800", "part": "sink"}, "surrogates"),
        ({"text": "a", "part": "memory"}, "Input should be"),
    ],
)
def test_a_token_that_cannot_be_is_refused(token: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        changed(keys=[token, *[{"text": "a", "part": "sink"}] * 3])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (with_value(np.zeros((4, 3))), "4 x 4 values of uint8"),
        (with_value(np.zeros((4, 5))), "4 x 4 values of uint8"),
        (heads(values=GZIP_IN_BASE64 + "AAAA"), "4 x 4 values of uint8"),
        (heads(values=GZIP_IN_BASE64 + "!!!!"), "damaged"),
        (heads(values=(heads()[0]["values"])[:-8]), "damaged"),
        (
            heads(values=base64.b64encode(base64.b64decode(heads()[0]["values"]) + b"more").decode()),
            "damaged",
        ),
    ],
)
def test_damaged_values_are_an_error_where_they_are_read(data: list[dict[str, Any]], message: str) -> None:
    made = changed(data=data)
    with pytest.raises(ValueError, match=message):
        made.weights(1, 0)
    assert made.weights(1, 1).shape == (4, 4), "the other head can be read"


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 2.0])
def test_half_floats_that_are_no_weights_are_an_error(value: float) -> None:
    damaged = with_value(np.full((4, 4), value), "<f2")
    precision = PRECISION["float16"].model_dump()
    made = changed(data=[damaged[0], damaged[0] | {"head": 1}], encoding="float16", precision=precision)
    with pytest.raises(ValueError, match=r"NaN or infinity|not between 0 and 1"):
        made.weights(1, 0)


def test_a_small_text_cannot_fill_the_memory() -> None:
    bomb = with_value(np.zeros((10_000, 5_000), dtype=np.uint8))
    made = changed(data=bomb)
    tracemalloc.start()
    with pytest.raises(ValueError, match="4 x 4"):
        made.weights(1, 0)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_packing_of_every_dtype_gives_the_numbers_back() -> None:
    numbers = np.array([[0, 1, 255]])
    for encoding in ENCODINGS:
        again = unpack(pack(numbers, DTYPES[encoding]), (1, 3), DTYPES[encoding])
        assert again.tolist() == numbers.tolist()
        assert again.dtype.isnative


# --- from end to end, where every weight is known by hand ---


def told(provider: FakeProvider, **arguments: Any) -> tuple[Explanation, AttentionBlock]:
    e = Explainer(provider).explain("Do.", sources=["alpha x", f"beta {HOSTILE}"], **arguments)
    assert e.attention is not None
    (made,) = e.attention
    return e, made


def by_hand(made: AttentionBlock) -> Weights:
    """Of each row 15 % is the sink's, 10 % the instruction's, and the cues get 75 % by their nats: 3 to 1."""
    parts = {"alpha": CUE_MASS * 3 / 4, "beta": CUE_MASS / 4, "Do.": INSTRUCTION_MASS, "<s>": SINK_MASS}
    return np.array([[parts.get(key.text, 0.0) for key in made.keys]] * 4, dtype=np.float32)


@pytest.mark.parametrize(("option", "encoding"), [(True, "u8_log"), ("u8", "u8_log"), ("float16", "float16")])
def test_the_fake_s_attention_is_kept(option: Any, encoding: Encoding) -> None:
    _, made = told(FakeProvider(), attention=option)
    assert (made.name, made.layers, made.heads, made.encoding) == ("decoder", (0,), 1, encoding)
    assert_within(made.weights(0, 0), by_hand(made), encoding)
    assert made.row_sums_of(0, 0) == pytest.approx([1.0] * 4, abs=1e-6)
    assert made.explaining == (0, 1, 2, 3)
    assert made.left_out is None


def test_the_rows_kept_of_a_real_model_are_those_that_its_scores_were_made_of() -> None:
    with Explainer("demo") as explainer:
        e = explainer.explain(
            PROMPT, sources=[generate(7).text], segment_by="token", detail=True, attention="float16"
        )
    (made,) = e.attention or ()
    detail = e.results[0].detail
    assert detail is not None
    every = [made.weights(layer, head) for layer in made.layers for head in range(made.heads)]
    assert len(every) > 8
    columns = [index for index, key in enumerate(made.keys) if key.part == "source"]
    rows = np.mean(every, axis=0)[np.ix_(made.explaining, columns)]
    np.testing.assert_allclose(rows, detail.matrix(), rtol=BOUNDS["float16"].relative, atol=1e-7)
    assert [(made.keys[i].source, made.keys[i].start, made.keys[i].end) for i in columns] == [*detail.tokens]
    for layer in made.layers:
        assert made.row_sums_of(layer, 0) == pytest.approx(np.ones(len(made.queries)), abs=1e-5)


def test_tokens_say_where_they_came_from_whatever_they_say() -> None:
    e, made = told(FakeProvider(), attention=True)
    texts = {source.id: source.text or "" for source in e.sources}
    for token in (*made.keys, *made.queries):
        if token.part == "source":
            assert token.source is not None
            assert texts[token.source][token.start : token.end] == token.text
        elif token.part == "output":
            assert e.output.text[token.start : token.end] == token.text
    named = {(token.source, token.text) for token in made.keys if token.source}
    assert {("s1", "alpha"), ("s2", "beta"), ("s2", HOSTILE.split()[0])} <= named
    assert made.keys[0].part == "sink"
    assert [token.part for token in made.queries[1:]] == ["output"] * 3


def test_attention_survives_json_and_another_granularity_and_no_face_breaks(tmp_path: Path) -> None:
    e, _ = told(FakeProvider(), attention=True, detail=True)
    assert Explanation.model_validate_json(e.model_dump_json()) == e
    assert e.at("word").attention == e.attention
    for kind in ("html", "csv", "txt"):
        text = e.save(tmp_path / f"report.{kind}", interactive=False).read_text()
        assert GZIP_IN_BASE64 not in text, "a tensor that nobody draws is no use there"
        assert HOSTILE not in text or kind != "html"
    assert GZIP_IN_BASE64 in e.save(tmp_path / "report.json").read_text()


def test_without_being_asked_for_no_tensor_is_kept() -> None:
    e = Explainer("fake").explain("Do.", sources=["alpha"])
    assert e.attention is None


def test_the_scores_are_the_same_with_and_without_the_tensor_and_cost_the_same() -> None:
    plain = Explainer("fake").explain("Do.", sources=["alpha beta"])
    kept = Explainer("fake").explain("Do.", sources=["alpha beta"], attention=True)
    assert kept.matrix().tolist() == plain.matrix().tolist()
    assert kept.cost.calls == plain.cost.calls


@pytest.mark.parametrize("access", ["logprobs", "text"])
def test_a_provider_that_does_not_attend_refuses_before_anything_is_asked(access: Any) -> None:
    provider = FakeProvider(access=access)
    with pytest.raises(UnsupportedError, match=f"fake gives {access} only; leave attention= away"):
        Explainer(provider).explain("Do.", sources=["alpha"], attention=True)
    assert provider.calls == 0


class Blind:
    """A method that scores without a look at the attention, and means something else by `heads`."""

    name = "blind"
    parameters = frozenset({"heads"})

    def lacks(self, capabilities: Capabilities) -> str | None:
        return None

    def check(self, parameters: Mapping[str, object], capabilities: Capabilities) -> None:
        pass

    def effort(self, parameters: Mapping[str, object], capabilities: Capabilities, segments: int) -> Effort:
        return Effort(family="logprob", least=1, wanted=1)

    async def run(self, task: Task) -> tuple[Finding, ...]:
        (finding,) = await NativeAttention().run(replace(task, watcher=None, parameters={}))
        blind = finding.result.model_copy(update={"caveats": ("Blind.",)})
        return (replace(finding, result=blind, tokens=None),)


def test_where_no_method_looks_one_more_pass_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whence.explain.plan.get_method", lambda name: Blind())
    e = Explainer("fake").explain("Do.", sources=["alpha"], method="blind", attention=True, heads="tall")
    assert len(e.results) == 1
    assert e.attention is not None
    assert e.output.tokens is not None, "the rows of the tensor explain them"
    assert e.cost.calls == 3, "the answer, the method's own pass, and one for the tensor"


class Looking(NativeAttention):
    """Attention under any name; remembers which of its kind were given a watcher."""

    def __init__(self, name: str, watching: list[str]) -> None:
        self.name = name
        self.watching = watching

    async def run(self, task: Task) -> tuple[Finding, ...]:
        self.watching += [self.name] if task.watcher is not None else []
        return await super().run(task)


def test_of_several_methods_that_look_the_first_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    watching: list[str] = []
    methods = {name: Looking(name, watching) for name in ("first", "second")}
    monkeypatch.setattr("whence.explain.plan.get_method", methods.__getitem__)
    e = Explainer("fake").explain("Do.", sources=["alpha"], method=["first", "second"], attention=True)
    assert watching == ["first"]
    assert e.cost.calls == 3, "the answer, and one pass for each method"


class Narrow(FakeProvider):
    """Reads a first token, and then finds that it is too long, until something was left out."""

    async def attend(
        self,
        prompt: Prompt,
        output: str | Generation,
        query: AttentionQuery,
        *,
        progress: Progress | None = None,
        watcher: Watcher | None = None,
    ) -> AttentionRows:
        rows = await super().attend(prompt, output, query, progress=progress, watcher=watcher)
        if len(prompt.sources[0].text) > 20:
            raise ContextLengthError(tokens=20, limit_tokens=10)
        return rows


def test_a_tensor_begun_before_the_sources_were_shortened_is_forgotten() -> None:
    provider = Narrow(rules=[Rule(text="Yes.", cues={"alpha": 1.0})])
    text = "It is alpha. This is said. And so is this. And more."
    e = Explainer(provider).explain("Do.", sources=[text], truncate=True, attention=True)
    assert (e.sources[0].text or "") == "It is alpha. "
    assert e.attention is not None
    said = [token.text for token in e.attention[0].keys if token.part == "source"]
    assert said == ["It", "is", "alpha."]


def of_explanation(**changes: Any) -> None:
    e, _ = told(FakeProvider(), attention=True)
    plain = json.loads(e.model_dump_json())
    plain["attention"][0] |= changes
    Explanation.model_validate(plain)


def test_the_blocks_of_an_explanation_fit_into_it() -> None:
    e, _ = told(FakeProvider(), attention=True)
    plain = json.loads(e.model_dump_json())
    keys = plain["attention"][0]["keys"]
    at = next(i for i, key in enumerate(keys) if key["part"] == "source")
    out = next(i for i, key in enumerate(keys) if key["part"] == "output")

    def with_key(index: int, **changes: Any) -> list[Any]:
        return [*keys[:index], keys[index] | changes, *keys[index + 1 :]]

    of_explanation(keys=keys)
    for changes, message in [
        ({"keys": with_key(at, source="s9")}, "unknown source s9"),
        ({"keys": with_key(at, end=99)}, r"\[0, 99\) outside its text"),
        ({"keys": with_key(out, end=999)}, "outside its text"),
        ({"explaining": [0]}, "every token of the output"),
    ]:
        with pytest.raises(ValidationError, match=message):
            of_explanation(**changes)
    block_made = plain["attention"][0]
    for blocks, message in [
        ([block_made, block_made], "not different"),
        ([block_made, block_made | {"name": "encoder"}], "not in order"),
        ([], "at least 1"),
    ]:
        with pytest.raises(ValidationError, match=message):
            Explanation.model_validate(plain | {"attention": blocks})
    both = [block_made | {"name": "encoder", "explaining": []}, block_made]
    assert len(Explanation.model_validate(plain | {"attention": both}).attention or ()) == 2
