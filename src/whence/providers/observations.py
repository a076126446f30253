"""What adapters return: plain observations, with no opinion on what they explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
Part = Literal["source", "instruction", "template", "special", "sink", "output"]
BlockName = Literal["encoder", "decoder", "cross"]
Reduction = Literal["mean", "rollout", "value_weighted"]
Encoding = Literal["plain", "json"]


@dataclass(frozen=True, kw_only=True)
class WrittenToken:
    """A token of an answer, as the model that wrote it tells of it.

    `start`, `end`: its characters in the answer's text. `logprob_nats`: given the prompt and the answer
    before it. `others`: tokens that might have stood in its place, by their text, with theirs; as many as
    the provider tells.
    """

    start: int
    end: int
    logprob_nats: float
    others: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A claim of the model: characters [start, end) of its answer rest on some characters of a source.

    `source`: its index among the prompt's sources; `source_start`, `source_end`: characters of its text.
    """

    start: int
    end: int
    source: int
    source_start: int
    source_end: int


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A model's answer.

    `token_ids` are those that the model chose, with the end token where it wrote one; empty where the
    provider does not tell. `finish`: `stop` where the model ended, `length` where it was cut. `tokens`: what
    it told of each token of the text, in order and without a gap; None where it does not tell. `citations`:
    None where it was not asked to cite.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish: Literal["stop", "length"] = "stop"
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    tokens: tuple[WrittenToken, ...] | None = None
    citations: tuple[Citation, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token of what the model read, and where it came from.

    `part`: `source`, or the part outside every source: the `instruction` (what messages say), the
    `template` around it, `special` tokens, the `sink`, which is the first token of a sequence (or a slot of
    the model's own that holds no token), and `output`, the output so far. `start`, `end`: its characters in
    the text of that source, or in the output's text; tokens may share characters. `text`: what to call it
    when it is drawn.
    """

    part: Part
    source: int | None = None
    start: int = 0
    end: int = 0
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """Log-probability of each token of an output, in nats, and its characters in the output's text.

    A span is None for a token without characters, such as the end token, and a log-probability where the
    provider does not tell it. `prompt_tokens`: of what the model read before them; None where the provider
    does not tell. `encoding`: of the text that was scored: `plain`, as it is, or `json`, as a JSON string.
    `extents`: where each token stands in that, where it is not the output itself. `written_tokens`: how many
    tokens the model was made to write for this; None where it only read.
    """

    spans: tuple[Span | None, ...]
    logprobs_nats: tuple[float | None, ...]
    prompt_tokens: int | None = None
    encoding: Encoding = "plain"
    extents: tuple[Span, ...] | None = None
    written_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class AttentionQuery:
    """Which layers and heads to combine, by index from 0 (None means all of them), and how.

    `reduction`: `mean`, the weights averaged; `rollout`, followed from layer to layer; `value_weighted`,
    each weight times the norm of what it carries.
    """

    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    reduction: Reduction = "mean"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One kind of attention in a model, and the tokens that its rows and columns stand for.

    `name`: `encoder` and `decoder` (a sequence on itself), `cross` (the decoder on the encoder).
    `layers`: those that have attention, by index from 0. `heads`: of each layer. `queries`, `keys`: tokens
    of the rows and columns. `explaining`: for each output token the query whose row predicts it; empty where
    the block's rows explain no output.
    """

    name: BlockName
    layers: tuple[int, ...]
    heads: int
    queries: tuple[Token, ...]
    keys: tuple[Token, ...]
    explaining: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AttentionRows:
    """Where the model looked while it predicted each token of the output.

    `rows`: float32, T output tokens x K keys; row t is that of the position which predicts output token t,
    combined as the query asked, and sums to 1. `keys`: the K tokens that it could look at. `output`: the T
    tokens of the output with their log-probabilities.
    """

    rows: NDArray[np.float32]
    keys: tuple[Token, ...]
    output: TokenScores
