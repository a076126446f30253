"""An answer is taken as it was told, or not at all."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from whence.providers.errors import ProviderError, RefusedError, UnavailableError
from whence.providers.observations import Generation
from whence.providers.vertex.reading import generation_of
from whence.providers.vertex.wire import Choice, Reply

HELLO = Choice(text="Hello", id=1, logprob_nats=-0.5)
THERE = Choice(text=" there", id=2, logprob_nats=-0.25)
OTHER = Choice(text=" you", id=3, logprob_nats=-1.5)
WHOLE = Reply(
    text="Hello there",
    answered=True,
    finish="STOP",
    blocked="",
    comment="",
    prompt_tokens=5,
    output_tokens=3,
    chosen=(HELLO, THERE),
    alternatives=((HELLO,), (THERE, OTHER)),
    request_id="r-1",
)


def read(reply: Reply, *, logprobs: bool = True) -> Generation:
    return generation_of(reply, model="gemini", logprobs=logprobs)


@pytest.mark.parametrize("end", ["", "<end_of_turn>", "<eos>", "</s>", "<|im_end|>"])
def test_the_end_of_a_turn_is_no_token_of_the_text(end: str) -> None:
    last = Choice(text=end, id=9, logprob_nats=-0.1)
    ended = replace(WHOLE, chosen=(*WHOLE.chosen, last), alternatives=(*WHOLE.alternatives, (last,)))
    assert read(ended) == read(WHOLE)
    tokens = read(WHOLE).tokens
    assert tokens is not None
    assert [(token.start, token.end, token.logprob_nats, dict(token.others)) for token in tokens] == [
        (0, 5, -0.5, {}),
        (5, 11, -0.25, {" you": -1.5}),
    ]


def test_markup_that_the_text_itself_ends_with_is_a_token() -> None:
    last = Choice(text="<br>", id=9, logprob_nats=-0.1)
    told = replace(WHOLE, text="Hello<br>", chosen=(HELLO, last), alternatives=())
    tokens = read(told).tokens
    assert tokens is not None
    assert [token.end for token in tokens] == [5, 9]


def test_a_token_that_only_begins_a_character_has_no_width() -> None:
    first, rest = Choice(text="", id=7, logprob_nats=-1.0), Choice(text="é", id=8, logprob_nats=-2.0)
    tokens = read(replace(WHOLE, text="Helloé", chosen=(HELLO, first, rest), alternatives=())).tokens
    assert tokens is not None
    assert [(token.start, token.end) for token in tokens] == [(0, 5), (5, 5), (5, 6)]


@pytest.mark.parametrize(
    "reply",
    [
        replace(WHOLE, chosen=(), alternatives=()),
        replace(WHOLE, chosen=(HELLO,), alternatives=()),
        replace(WHOLE, chosen=(HELLO, THERE, THERE), alternatives=()),
        replace(WHOLE, chosen=(HELLO, replace(THERE, text="there")), alternatives=()),
        replace(WHOLE, text="Hello there "),
        replace(WHOLE, alternatives=((HELLO,),)),
        *(
            replace(WHOLE, chosen=(HELLO, replace(THERE, logprob_nats=nats)), alternatives=())
            for nats in (None, math.nan, math.inf, -math.inf, 0.01)
        ),
        *(
            replace(WHOLE, alternatives=((), (replace(OTHER, logprob_nats=nats),)))
            for nats in (None, math.nan, 0.01)
        ),
    ],
)
def test_log_probabilities_that_are_not_of_the_text_are_refused(reply: Reply) -> None:
    with pytest.raises(ProviderError, match=r"logprobs=False.*request r-1"):
        read(reply)
    assert read(reply, logprobs=False).tokens is None


def test_rounding_does_not_make_a_token_more_than_certain() -> None:
    tokens = read(replace(WHOLE, chosen=(HELLO, replace(THERE, logprob_nats=5e-7)))).tokens
    assert tokens is not None
    assert tokens[-1].logprob_nats == 0


def test_of_two_tokens_that_read_alike_the_more_probable_is_told() -> None:
    alike = (OTHER, replace(OTHER, id=4, logprob_nats=-1.0), replace(OTHER, id=5, logprob_nats=-3.0))
    tokens = read(replace(WHOLE, alternatives=((), alike))).tokens
    assert tokens is not None
    assert dict(tokens[1].others) == {" you": -1.0}


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"finish": "RECITATION", "comment": "too close"}, RefusedError, "RECITATION: too close"),
        ({"finish": "MODEL_ARMOR"}, RefusedError, "MODEL_ARMOR"),
        ({"finish": "IMAGE_SAFETY"}, RefusedError, "IMAGE_SAFETY"),
        ({"blocked": "JAILBREAK", "answered": False}, RefusedError, "JAILBREAK"),
        ({"finish": "MALFORMED_FUNCTION_CALL"}, ProviderError, "MALFORMED_FUNCTION_CALL"),
        ({"finish": "A_NEW_ONE"}, ProviderError, "A_NEW_ONE"),
        ({"finish": "LONG" * 99}, ProviderError, r" (LONG){15} \.\.\."),
        ({"finish": ""}, UnavailableError, "before it was finished"),
        ({"finish": "", "answered": False}, ProviderError, "no reason"),
    ],
)
def test_an_answer_that_did_not_end_well_is_an_error(
    changes: dict[str, object], kind: type, says: str
) -> None:
    with pytest.raises(ProviderError, match=says) as caught:
        read(replace(WHOLE, **changes))  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert caught.value.request_id == "r-1"
