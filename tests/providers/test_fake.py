"""The fake provider's numbers are those that can be worked out by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Literal, get_args

import anyio
import numpy as np
import pytest

from whence.providers.base import Access, Attends, Capabilities, Counts, Prices, Provider, Scores, Step
from whence.providers.errors import (
    EmptyOutputError,
    RateLimitError,
    TextError,
    UnavailableError,
    UnknownLayerError,
    UnsupportedError,
)
from whence.providers.fake import EXAMPLE_RULES, FakeProvider, Rule
from whence.providers.observations import AttentionQuery, AttentionRows, Generation, TokenScores
from whence.providers.prompt import Message, Prompt, Source, build_prompt

Words = frozenset[str]


@dataclass(frozen=True)
class Known:
    """A sentence, its cues, and by hand: what it is worth, and when it is written."""

    text: str
    cues: dict[str, float]
    worth: Callable[[Words], float]
    written: Callable[[Words], bool]


KNOWN = (
    Known(
        "The dose is low.",
        {"alpha": 3.0, "beta": 1.0},
        lambda w: 3.0 * ("alpha" in w) + 1.0 * ("beta" in w),
        lambda w: "alpha" in w,
    ),
    Known(
        "The scan was clear.",
        {"gamma": 2.0, "delta": 2.0},
        lambda w: 2.0 if {"gamma", "delta"} & w else 0.0,
        lambda w: bool({"gamma", "delta"} & w),
    ),
    Known(
        "The plan is agreed.",
        {"epsilon": 1.0, "zeta": 1.0, "eta": 1.0},
        lambda w: 3.0 if {"epsilon", "zeta", "eta"} <= w else 0.0,
        lambda w: {"epsilon", "zeta", "eta"} <= w,
    ),
)
OUTPUT = " ".join(known.text for known in KNOWN)
CUES = sorted(chain.from_iterable(known.cues for known in KNOWN))
SUBSETS = [frozenset(s) for n in range(len(CUES) + 1) for s in combinations(CUES, n)]
ALL = AttentionQuery()


def prompt_of(words: Words | list[str], instruction: str = "Summarise this.") -> Prompt:
    """The words in two sources; the instruction names every cue, which must not count."""
    chosen = sorted(words)
    return build_prompt(
        f"{instruction} {' '.join(CUES)}",
        sources=[f"Note: {', '.join(chosen[::2])}.", f"Letter: {' '.join(chosen[1::2])}"],
    )


def generate(provider: FakeProvider, prompt: Prompt, seed: int = 0, max_tokens: int = 512) -> Generation:
    return anyio.run(lambda: provider.generate(prompt, max_tokens=max_tokens, seed=seed))


def score(
    provider: FakeProvider, prompts: list[Prompt], output: str | Generation = OUTPUT
) -> tuple[TokenScores, ...]:
    return anyio.run(lambda: provider.score(prompts, output))


def attend(
    provider: FakeProvider, prompt: Prompt, output: str = OUTPUT, query: AttentionQuery = ALL
) -> AttentionRows:
    return anyio.run(lambda: provider.attend(prompt, output, query))


def by_sentence(scores: TokenScores) -> dict[str, float]:
    """Sum of the log-probabilities of each sentence's tokens."""
    sums = dict.fromkeys((known.text for known in KNOWN), 0.0)
    for span, nats in zip(scores.spans, scores.logprobs_nats, strict=True):
        assert span is not None
        assert nats is not None
        sums[next(text for text in sums if OUTPUT.index(text) + len(text) >= span[1])] += nats
    return sums


# --- rules ---


def test_there_are_as_many_subsets_as_there_should_be() -> None:
    assert len(SUBSETS) == 2**7


@pytest.mark.parametrize(("rule", "known"), list(zip(EXAMPLE_RULES, KNOWN, strict=True)))
def test_a_rule_is_worth_what_its_closed_form_says(rule: Rule, known: Known) -> None:
    assert rule.text.strip() == known.text
    assert [rule.value_nats(words) for words in SUBSETS] == [known.worth(words) for words in SUBSETS]
    assert rule.full_nats == known.worth(frozenset(CUES))


def test_the_examples_show_every_kind() -> None:
    kinds: tuple[str, ...] = get_args(Literal["additive", "redundant", "all_of"])
    assert {rule.kind for rule in EXAMPLE_RULES} == set(kinds)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("additive", [0, 1, 4, 5]), ("redundant", [0, 1, 4, 4]), ("all_of", [0, 0, 0, 5])],
)
def test_unequal_cues_count_by_their_kind(
    kind: Literal["additive", "redundant", "all_of"], values: list[float]
) -> None:
    rule = Rule(text="x", cues={"a": 1.0, "b": 4.0}, kind=kind)
    assert [rule.value_nats(frozenset(s)) for s in ("", "a", "b", "ab")] == values
    assert rule.value_nats(frozenset({"c"})) == 0


# --- generate ---


def test_a_sentence_is_written_exactly_when_its_rule_holds() -> None:
    for words in SUBSETS:
        expected = " ".join(known.text for known in KNOWN if known.written(words))
        written = generate(FakeProvider(), prompt_of(words))
        assert written.text == (expected or "Nothing is known."), words
        assert written.finish == "stop"


def test_a_long_answer_is_cut_at_its_limit_and_says_so() -> None:
    prompt = prompt_of(CUES)
    assert generate(FakeProvider(), prompt, max_tokens=6).text == "The dose is low. The scan"
    assert generate(FakeProvider(), prompt, max_tokens=6).finish == "length"
    whole = generate(FakeProvider(), prompt, max_tokens=12)
    assert (whole.text, whole.finish, whole.output_tokens) == (OUTPUT, "stop", 12)


def test_words_are_read_without_their_punctuation_and_only_in_sources() -> None:
    assert generate(FakeProvider(), build_prompt("Go.", sources=["(no) alpha;"])).text == "The dose is low."
    assert generate(FakeProvider(), build_prompt("alpha", sources=["Alpha alphabet"])).text == (
        "Nothing is known."
    )


def test_the_tokens_of_the_prompt_are_counted() -> None:
    # The sink, <source and its name="source and 1">, two words, </source>, one word of instruction.
    assert generate(FakeProvider(), build_prompt("Go.", sources=["a b"])).prompt_tokens == 1 + 3 + 2 + 1 + 1


# --- score ---


def test_what_a_sentence_loses_is_what_its_missing_cues_are_worth() -> None:
    full = by_sentence(score(FakeProvider(), [prompt_of(CUES)])[0])
    for words, scores in zip(
        SUBSETS, score(FakeProvider(), [prompt_of(words) for words in SUBSETS]), strict=True
    ):
        changes = {text: nats - full[text] for text, nats in by_sentence(scores).items()}
        expected = {k.text: k.worth(words) - k.worth(frozenset(CUES)) for k in KNOWN}
        assert changes == pytest.approx(expected, abs=1e-12), words


def test_every_token_has_its_place_and_costs_a_tenth_of_a_nat_at_least() -> None:
    (scores,) = score(FakeProvider(), [prompt_of(CUES)])
    assert "".join(OUTPUT[slice(*span)] for span in scores.spans if span) == OUTPUT
    assert len(scores.spans) == len(OUTPUT.split())
    assert scores.logprobs_nats == pytest.approx([-0.1] * 12)


def test_a_loss_is_shared_equally_by_the_tokens_of_the_sentence() -> None:
    (scores,) = score(FakeProvider(), [prompt_of(["beta", "gamma", "delta"])])
    assert scores.logprobs_nats == pytest.approx([-0.1 - 3 / 4] * 4 + [-0.1] * 4 + [-0.1 - 3 / 4] * 4)


def test_a_generation_is_scored_as_its_text() -> None:
    provider = FakeProvider()
    written = generate(provider, prompt_of(CUES))
    assert score(provider, [prompt_of(["beta"])], written) == score(provider, [prompt_of(["beta"])], OUTPUT)


def test_words_that_no_rule_wrote_depend_on_nothing() -> None:
    without, with_cues = score(FakeProvider(), [prompt_of([]), prompt_of(CUES)], "Entirely other words.")
    assert without.logprobs_nats == with_cues.logprobs_nats == pytest.approx([-0.1] * 3)


# --- attend ---


def masses(
    rows: AttentionRows, row: int, prompt: Prompt
) -> tuple[dict[str, float], float, float, float, float]:
    """By word of the sources; then on the sink, the instruction, the template, and the output so far."""
    words: dict[str, float] = {}
    parts = {"sink": 0.0, "instruction": 0.0, "template": 0.0, "output": 0.0}
    for key, mass in zip(rows.keys, rows.rows[row].tolist(), strict=True):
        if key.part == "source":
            assert key.source is not None
            word = prompt.sources[key.source].text[key.start : key.end].strip(".,")
            words[word] = words.get(word, 0.0) + mass
        else:
            parts[key.part] += mass
    return words, parts["sink"], parts["instruction"], parts["template"], parts["output"]


def test_attention_places_exactly_the_masses_that_it_states() -> None:
    for words in SUBSETS:
        prompt = prompt_of(words)
        rows = attend(FakeProvider(), prompt)
        assert rows.rows.dtype == np.float32
        assert rows.rows.shape == (12, len(rows.keys))
        assert [key.part for key in rows.keys[-12:]].count("output") == 11
        for token in range(12):
            known = KNOWN[token // 4]
            on_words, sink, instruction, template, so_far = masses(rows, token, prompt)
            total = sum(known.cues.values())
            expected = {cue: 0.75 * nats / total for cue, nats in known.cues.items() if cue in words}
            assert {word: mass for word, mass in on_words.items() if mass} == pytest.approx(expected)
            assert sink == pytest.approx(0.15 + 0.75 - sum(expected.values()))
            assert instruction == pytest.approx(0.10)
            assert (template, so_far) == (0, 0)


def test_a_cue_that_stands_twice_shares_its_mass() -> None:
    prompt = build_prompt("Go.", sources=["alpha alpha", "alpha beta"])
    rows = attend(FakeProvider(), prompt, KNOWN[0].text)
    on_cues = [mass for key, mass in zip(rows.keys, rows.rows[0], strict=True) if key.part == "source"]
    assert on_cues == pytest.approx([0.1875, 0.1875, 0.1875, 0.1875])


@pytest.mark.parametrize("output", [OUTPUT, "Entirely other words.", f"{OUTPUT} And more.", "x"])
def test_every_row_sums_to_one(output: str) -> None:
    habit = Rule(text="Take care.", cues={})
    for rules in (EXAMPLE_RULES, (habit, *EXAMPLE_RULES), ()):
        for words in (CUES, [], ["beta", "eta"]):
            rows = attend(FakeProvider(rules=rules), prompt_of(words), f"{output} Take care.")
            np.testing.assert_allclose(rows.rows.sum(axis=1), 1, atol=1e-6)
            assert (rows.rows >= 0).all()


def test_a_sentence_that_rests_on_nothing_looks_at_the_sink() -> None:
    provider = FakeProvider(rules=[Rule(text="Take care.", cues={})])
    assert generate(provider, prompt_of([])).text == "Take care."
    rows = attend(provider, prompt_of(CUES), "Take care. Other.")
    assert rows.rows[:, 0] == pytest.approx([0.9] * 3)


def test_the_keys_are_the_words_of_the_prompt_in_order() -> None:
    prompt = build_prompt(
        [
            Message(role="system", content="Be brief."),
            Message(role="user", content=[Source(text=" a\tb "), "Go", Source(text="c")]),
        ]
    )
    keys = attend(FakeProvider(), prompt).keys
    assert [key.part for key in keys if key.part != "output"] == [
        *("sink", "instruction", "instruction"),
        *("template", "template", "template", "source", "source", "template", "instruction"),
        *("template", "template", "template", "source", "template"),
    ]
    places = [(key.source, key.start, key.end) for key in keys if key.part == "source"]
    assert places == [(0, 1, 2), (0, 3, 4), (1, 0, 1)]


@pytest.mark.parametrize(("layers", "heads"), [((1,), None), (None, (0, 1)), ((-1,), None)])
def test_there_is_one_layer_with_one_head(
    layers: tuple[int, ...] | None, heads: tuple[int, ...] | None
) -> None:
    one = attend(FakeProvider(), prompt_of(CUES), query=AttentionQuery(layers=(0,), heads=(0,)))
    np.testing.assert_array_equal(one.rows, attend(FakeProvider(), prompt_of(CUES)).rows)
    with pytest.raises(UnknownLayerError, match=r"known: 0$"):
        attend(FakeProvider(), prompt_of(CUES), query=AttentionQuery(layers=layers, heads=heads))


@pytest.mark.parametrize(("output", "error"), [(" \n", EmptyOutputError), ("a\ud800", TextError)])
def test_an_output_that_cannot_be_explained_is_refused(output: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        attend(FakeProvider(), prompt_of(CUES), output)


# --- access ---


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("weights", Capabilities(access="weights", attends=True, scores=True)),
        ("logprobs", Capabilities(access="logprobs", attends=False, scores=True)),
        ("text", Capabilities(access="text", attends=False, scores=False)),
    ],
)
def test_access_decides_what_can_be_seen(access: Access, expected: Capabilities) -> None:
    provider = FakeProvider(access=access)
    capabilities = anyio.run(provider.capabilities)
    assert replace(capabilities, refused={}, layers=(), heads=0) == replace(
        expected, counts=True, deterministic=True, max_in_flight=4, deadline_seconds=60.0
    )
    assert set(capabilities.refused) == {"rollout", "value_weighted"}
    assert generate(provider, prompt_of(CUES)).text == OUTPUT
    if expected.scores:
        assert score(provider, [prompt_of(CUES)])
    else:
        with pytest.raises(UnsupportedError, match="access='logprobs'"):
            score(provider, [prompt_of(CUES)])
    if expected.attends:
        assert attend(provider, prompt_of(CUES)).keys
    else:
        with pytest.raises(UnsupportedError, match="access='weights'"):
            attend(provider, prompt_of(CUES))


def test_it_follows_every_protocol_that_it_claims() -> None:
    provider = FakeProvider()
    assert isinstance(provider, Provider)
    assert isinstance(provider, Attends)
    assert isinstance(provider, Scores)


# --- calls, progress, latency ---


def test_calls_count_what_was_asked_and_never_what_was_refused() -> None:
    provider = FakeProvider()
    counts: list[int] = []
    for ask in (
        lambda: anyio.run(provider.capabilities),
        lambda: generate(provider, prompt_of([])),
        lambda: score(provider, [prompt_of([])] * 5),
        lambda: score(provider, []),
        lambda: attend(provider, prompt_of([])),
    ):
        before = provider.calls
        ask()
        counts.append(provider.calls - before)
    assert counts == [0, 1, 5, 0, 1]
    provider.access = "text"
    with pytest.raises(UnsupportedError):
        score(provider, [prompt_of([])])
    assert provider.calls == sum(counts)


def test_progress_ends_where_the_work_ends() -> None:
    steps: list[Step] = []
    provider = FakeProvider()
    anyio.run(lambda: provider.generate(prompt_of(CUES), max_tokens=5, seed=0, progress=steps.append))
    anyio.run(lambda: provider.attend(prompt_of(CUES), OUTPUT, ALL, progress=steps.append))
    assert steps == [Step(stage="generate", done=5, total=5), Step(stage="attend", done=1, total=1)]


@pytest.mark.parametrize(
    ("ask", "calls"),
    [
        (lambda provider: generate(provider, prompt_of([])), 1),
        (lambda provider: score(provider, [prompt_of([])] * 3), 3),
        (lambda provider: attend(provider, prompt_of([])), 1),
    ],
)
def test_latency_is_waited_in_each_call(ask: Callable[[FakeProvider], object], calls: int) -> None:
    began = time.monotonic()
    ask(FakeProvider(latency_s=0.05))
    assert time.monotonic() - began >= 0.05 * calls


def test_a_caller_who_goes_away_does_not_wait() -> None:
    async def main() -> bool:
        with anyio.move_on_after(0.01) as scope:
            await FakeProvider(latency_s=3600).generate(prompt_of(CUES), max_tokens=5, seed=0)
        return scope.cancelled_caught

    assert anyio.run(main)


# --- noise ---


def test_without_noise_the_same_question_has_the_same_answer() -> None:
    provider = FakeProvider()
    first, *others = score(provider, [prompt_of(["beta"])] * 5)
    assert others == [first] * 4
    assert len({generate(provider, prompt_of(CUES), seed).text for seed in range(5)}) == 1


def session(**options: float) -> Iterator[object]:
    """The answers to the same questions, asked of a provider of their own."""
    provider = FakeProvider(**options)  # type: ignore[arg-type]
    for seed in (0, 0, 1):
        yield generate(provider, prompt_of(CUES), seed)
    yield score(provider, [prompt_of(CUES), prompt_of(["beta"])])
    yield attend(provider, prompt_of(CUES)).output


def test_the_same_seed_and_calls_give_the_same_answers() -> None:
    assert list(session(noise=0.5)) == list(session(noise=0.5))
    assert list(session(noise=0.5)) != list(session(noise=0.0))


def test_another_seed_gives_other_answers() -> None:
    texts = {
        seed: [generate(provider, prompt_of(CUES), seed).text for _ in range(20)]
        for seed in (1, 2)
        for provider in [FakeProvider(noise=0.5)]
    }
    assert texts[1] != texts[2]


def test_noise_is_the_standard_deviation_of_each_log_probability_and_has_no_bias() -> None:
    clean = np.array(score(FakeProvider(), [prompt_of(["beta"])])[0].logprobs_nats)
    noisy = score(FakeProvider(noise=0.5), [prompt_of(["beta"])] * 500)
    errors = np.array([scores.logprobs_nats for scores in noisy]) - clean
    assert errors.std() == pytest.approx(0.5, rel=0.05)
    assert abs(errors.mean()) < 0.03
    # Independent between tokens and between calls.
    correlations = np.corrcoef(errors.T) - np.eye(errors.shape[1])
    assert np.abs(correlations).max() < 0.2


def test_noise_is_the_chance_that_a_sentence_is_left_out() -> None:
    provider = FakeProvider(noise=0.2)
    texts = [generate(provider, prompt_of(CUES), seed).text for seed in range(500)]
    for known in KNOWN:
        assert sum(known.text not in text for text in texts) / 500 == pytest.approx(0.2, abs=0.06)
    assert generate(FakeProvider(noise=1.0), prompt_of(CUES)).text == "Nothing is known."


# --- what a service may do ---


def test_faults_come_in_the_order_of_the_calls_and_then_no_more() -> None:
    faults = [RateLimitError("slow down"), None, UnavailableError("down")]
    provider = FakeProvider(faults=faults)
    for fault in (*faults, None, None):
        if fault is None:
            assert generate(provider, prompt_of(CUES)).text == OUTPUT
        else:
            with pytest.raises(type(fault)) as caught:
                generate(provider, prompt_of(CUES))
            assert caught.value is fault
    assert provider.calls == 5, "one that fails is a call, too"


@pytest.mark.parametrize("ask", [score, lambda p, prompts: attend(p, prompts[0])])
def test_a_fault_is_raised_whatever_is_asked(
    ask: Callable[[FakeProvider, list[Prompt]], object],
) -> None:
    fault = UnavailableError("down")
    with pytest.raises(UnavailableError) as caught:
        ask(FakeProvider(faults=[fault]), [prompt_of(CUES)])
    assert caught.value is fault


def test_a_fault_comes_after_the_latency_and_leaves_nobody_in_flight() -> None:
    provider = FakeProvider(faults=[UnavailableError("down")], latency_s=0.05)
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        generate(provider, prompt_of([]))
    assert time.monotonic() - began >= 0.05
    assert (provider._in_flight, provider.most_in_flight) == (0, 1)


def test_most_in_flight_is_how_many_were_asked_at_once() -> None:
    provider = FakeProvider(latency_s=0.02)

    async def main() -> None:
        for number in (2, 7, 3):
            async with anyio.create_task_group() as group:
                for _ in range(number):
                    group.start_soon(lambda: provider.generate(prompt_of([]), max_tokens=5, seed=0))

    anyio.run(main)
    assert provider.most_in_flight == 7, "it counts; whoever asks keeps to max_in_flight"
    assert provider._in_flight == 0


def test_what_is_said_of_calls_and_prices_is_what_was_configured() -> None:
    plain = anyio.run(FakeProvider().capabilities)
    assert (plain.max_in_flight, plain.deadline_seconds) == (4, 60.0)
    assert (plain.metered, plain.prices) == (False, None)
    prices = Prices(input_per_million=3, output_per_million=15, currency="EUR")
    given = anyio.run(FakeProvider(max_in_flight=9, deadline_seconds=None, prices=prices).capabilities)
    assert (given.max_in_flight, given.deadline_seconds) == (9, None)
    assert (given.metered, given.prices) == (True, prices)
    assert prices.money(2_000_000, 100_000) == pytest.approx(7.5)


def test_it_repeats_itself_only_without_noise() -> None:
    assert anyio.run(FakeProvider().capabilities).deterministic
    assert not anyio.run(FakeProvider(noise=0.1).capabilities).deterministic


@pytest.mark.parametrize("access", get_args(Access))
def test_tokens_are_counted_for_nothing_as_they_are_read(access: Access) -> None:
    provider = FakeProvider(access=access)
    assert isinstance(provider, Counts)
    for prompt in (prompt_of(CUES), prompt_of([]), build_prompt("Go.", sources=["a b"], system="Be brief.")):
        counted = anyio.run(provider.count_tokens, prompt)
        assert provider.calls == 0
        assert counted == generate(FakeProvider(), prompt).prompt_tokens
        assert counted == score(FakeProvider(), [prompt])[0].prompt_tokens
    assert anyio.run(provider.count_tokens, build_prompt("Go.", sources=["a b"])) == 8
