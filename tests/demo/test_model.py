"""The bundled model: what is shipped, what it can read, and that it reads the record it summarises."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoTokenizer

from whence import Explainer, Explanation, Source
from whence.demo.provider import NOTE, load
from whence.demo.records import FACTS, PROMPT, Record, generate

MODEL = Path(str(files("whence.demo") / "model"))
LIMIT_BYTES = 6 * 1024 * 1024
AIM = 0.95
UNSEEN = range(100, 120)

# Pieces that no record holds, joined in any order.
PIECES = [
    *(
        "肺炎",
        "पीडा",
        "боль",
        "ألم",
        "e\u0301",
        "👩🏽\u200d⚕️",
        "\x00",
        "\x1b[0m",
        "\u202e",
        "\ufeff",
        "\U0010ffff",
    ),
    *("<|end|>", "<|begin|><|user|>", "</source>", "\r\n", "\t", "   ", "\u2028", "\xa0", "naïve", "µg/ml"),
]
foreign = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.sampled_from(PIECES)).map("".join)
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def explainer() -> Iterator[Explainer]:
    with Explainer("demo", device="cpu") as explainer:
        yield explainer


# --- what is shipped ---


def test_the_model_is_small() -> None:
    sizes = {path.name: path.stat().st_size for path in MODEL.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= LIMIT_BYTES, sizes


def test_the_weights_are_safetensors_and_nothing_can_run_code() -> None:
    files = {path.name for path in MODEL.rglob("*") if path.is_file()}
    assert {name for name in files if name.endswith(".safetensors")} == {"model.safetensors"}
    assert {Path(name).suffix for name in files} <= {".safetensors", ".json", ".jinja"}
    assert "auto_map" not in (MODEL / "config.json").read_text()


def test_the_weights_are_numbers_of_this_architecture() -> None:
    config = json.loads((MODEL / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    with safe_open(MODEL / "model.safetensors", framework="pt") as weights:
        tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    assert tensors["model.embed_tokens.weight"].shape == (config["vocab_size"], config["hidden_size"])
    assert all(tensor.isfinite().all() for tensor in tensors.values())


# --- the tokenizer ---


@given(text=foreign)
def test_foreign_text_comes_back_to_the_character_without_any_unknown_token(
    tokenizer: Any, text: str
) -> None:
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert None not in ids


def test_every_byte_has_a_token(tokenizer: Any) -> None:
    assert tokenizer.unk_token is None
    # In UTF-8 the bytes c0, c1, f5 to ff never occur.
    for code in (*range(0x80), 0x80, 0x7FF, 0x800, 0xFFFD, 0x10000, 0x10FFFF):
        character = chr(code)
        ids = tokenizer(character, add_special_tokens=False)["input_ids"]
        assert 1 <= len(ids) <= len(character.encode())
        assert tokenizer.decode(ids) == character


def test_a_long_record_fits_into_the_context(tokenizer: Any) -> None:
    longest = max(
        len(tokenizer(f"{record.text}\n{record.summary}")["input_ids"])
        for record in (generate(seed, sentences=30) for seed in range(50))
    )
    context = json.loads((MODEL / "config.json").read_text())["max_position_embeddings"]
    assert longest + 50 < context


# --- what it writes ---


def explain(explainer: Explainer, record: Record, **arguments: Any) -> Explanation:
    return explainer.explain(
        PROMPT, sources=[Source(text=record.text, name="record")], max_tokens=160, **arguments
    )


def sentences(explanation: Explanation) -> list[str]:
    return [explanation.target_text(i).strip() for i in range(len(explanation.output.targets))]


@pytest.fixture(scope="module")
def written(explainer: Explainer) -> dict[int, list[str]]:
    """The sentences that it writes of each unseen record."""
    return {seed: sentences(explain(explainer, generate(seed))) for seed in UNSEEN}


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def test_it_writes_nearly_every_sentence_exactly_right(written: dict[int, list[str]]) -> None:
    right = [
        i < len(written[seed]) and written[seed][i] == support.text
        for seed in UNSEEN
        for i, support in enumerate(generate(seed).truth)
    ]
    assert len(right) == 6 * len(UNSEEN)
    assert share(right) >= AIM


def test_it_ends_after_its_last_sentence(written: dict[int, list[str]]) -> None:
    assert share([len(own) == 6 for own in written.values()]) >= AIM


@cache
def swapped(seed: int) -> tuple[Record, int]:
    """A record with one fact changed, and the sentence that must change with it."""
    record, rng = generate(seed), random.Random(seed)
    index, fact = rng.choice([(i, fact) for i, s in enumerate(record.truth) for fact in s.facts])
    values = [value for value in FACTS[fact] if value not in record.facts.values()]
    return record.swapped(fact, rng.choice(values)), index


def test_it_follows_a_fact_that_is_changed_in_its_source(explainer: Explainer) -> None:
    followed: list[bool] = []
    for seed in UNSEEN:
        record, index = swapped(seed)
        assert record.truth[index].text != generate(seed).truth[index].text
        own = sentences(explain(explainer, record))
        followed.append(index < len(own) and own[index] == record.truth[index].text)
    assert share(followed) >= AIM


def test_it_knows_what_is_not_there(explainer: Explainer) -> None:
    told: list[bool] = []
    for seed in UNSEEN:
        record = generate(seed)
        index = seed % len(record.truth)
        without = record.without(record.truth[index].lines)
        own = sentences(explain(explainer, without))
        told.append(index < len(own) and own[index] == without.truth[index].text)
    assert share(told) >= 0.9


def nats_of_sentence(explanation: Explanation, index: int) -> float:
    target = explanation.output.targets[index]
    return sum(
        token.logprob_nats or 0.0
        for token in explanation.output.tokens or ()
        if target.start <= token.start < target.end
    )


def test_a_sentence_is_less_probable_where_its_source_says_something_else(explainer: Explainer) -> None:
    losses: list[float] = []
    for seed in UNSEEN[:10]:
        record = generate(seed)
        other, index = swapped(seed)
        losses.append(
            nats_of_sentence(explain(explainer, record, output=record.summary), index)
            - nats_of_sentence(explain(explainer, other, output=record.summary), index)
        )
    assert min(losses) > 2


# --- what every explanation says of it ---


@pytest.mark.parametrize(
    "arguments",
    [{}, {"output": "Allergic to latex."}, {"target_by": "whole", "segment_by": "token", "detail": True}],
    ids=["generated", "given", "token level"],
)
def test_every_explanation_says_that_it_has_read_synthetic_records_only(
    explainer: Explainer, arguments: dict[str, Any]
) -> None:
    explanation = explain(explainer, generate(20), **arguments)
    assert "synthetic records only" in NOTE
    assert all(NOTE in result.caveats for result in explanation.results)
    assert NOTE in str(explanation)
    read_back = Explanation.model_validate_json(explanation.model_dump_json())
    assert all(NOTE in result.caveats for result in read_back.results)


def test_the_same_question_has_the_same_answer(explainer: Explainer) -> None:
    first, second = (explain(explainer, generate(20), seed=seed) for seed in (0, 1))
    assert first.output == second.output
    assert first.results == second.results
    assert first.revision == second.revision
    assert (first.revision or "").startswith("sha256:")
    assert first.model == "demo"


def test_options_reach_the_adapter() -> None:
    assert load(device="cpu").model == "demo"
    with pytest.raises(TypeError):
        load(no_such_option=1)
