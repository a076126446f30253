"""What adapters return: plain observations, with no opinion on what they explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
Part = Literal["source", "instruction", "template", "special", "sink"]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A model's answer.

    `token_ids` are those that the model chose, with the end token where it wrote one; empty where the
    provider does not tell. `finish`: `stop` where the model ended, `length` where it was cut.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish: Literal["stop", "length"] = "stop"
    prompt_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class PromptToken:
    """One token of the prompt, and where it came from.

    `part`: `source`, or the part of the prompt outside every source: the `instruction` (what messages
    say), the `template` around it, `special` tokens, and the `sink`, which is the first token of the
    sequence. For `source`: its index, and the token's characters [start, end) in that source's text;
    tokens may share characters.
    """

    part: Part
    source: int | None = None
    start: int = 0
    end: int = 0


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """Log-probability of each token of an output, in nats, and its characters in the output's text.

    `spans` is None for tokens without characters, such as the end token.
    """

    spans: tuple[Span | None, ...]
    logprobs_nats: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class AttentionQuery:
    """Which layers and heads to average over, by index from 0; None means all of them."""

    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class AttentionRows:
    """Where the model looked while it predicted each token of the output.

    `rows`: float32, (T output tokens) x (P prompt tokens + T - 1 output tokens); row t is that of the
    position which predicts output token t, the mean over the layers and heads asked for, and sums to 1.
    `keys`: the P tokens of the prompt. `output`: the T tokens of the output with their log-probabilities.
    """

    rows: NDArray[np.float32]
    keys: tuple[PromptToken, ...]
    output: TokenScores
