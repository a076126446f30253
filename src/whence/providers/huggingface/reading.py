"""What each kind of model is given in the one pass that is observed, and which rows explain which token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from whence.providers.huggingface.anatomy import Anatomy
from whence.providers.huggingface.attention import Observer
from whence.providers.huggingface.encoding import Render
from whence.providers.observations import Block, BlockName, Generation, Span, Token, TokenScores
from whence.providers.prompt import Prompt


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready to be asked, with its attention found.

    `revision`: a commit of the hub, or a digest of the weights. `context_tokens`: the longest input, and of
    an encoder-decoder `output_tokens`: the longest answer; None where there is no limit. `unseen`: why its
    attention cannot be observed; None where it can. `render`: of a server whose model this is, where prompts
    are what it makes of them; None where the tokenizer's own template renders them.
    """

    model: PreTrainedModel
    tokenizer: Any
    revision: str | None
    kind: Kind
    anatomy: Anatomy
    context_tokens: int | None
    output_tokens: int | None
    unseen: str | None = None
    render: Render | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One pass over prompt and output.

    `inputs`: of the model. `tokens`: the queries and the keys of each block. `block`: whose rows explain the
    output. `rows`: for each output token the queries whose rows, averaged, explain it. `spans`: each output
    token's characters. `prompt_tokens`: how many of what is read are the prompt's. `last_logits`: of how
    many positions logits are wanted; None for all. `logprobs_nats`: from the model's output to the
    log-probability of each output token.
    """

    inputs: Mapping[str, Tensor]
    tokens: Mapping[BlockName, tuple[tuple[Token, ...], tuple[Token, ...]]]
    block: BlockName
    rows: tuple[tuple[int, ...], ...]
    spans: tuple[Span | None, ...]
    prompt_tokens: int
    last_logits: int | None
    logprobs_nats: Callable[[Any], Tensor]

    def scores(self, output: Any) -> TokenScores:
        """Of each output token, from the model's output."""
        return TokenScores(
            spans=self.spans,
            logprobs_nats=tuple(self.logprobs_nats(output).tolist()),
            prompt_tokens=self.prompt_tokens,
        )

    def keys(self, *, rollout: bool) -> tuple[Token, ...]:
        """The columns of the rows: rollout also follows the decoder's own positions."""
        keys = self.tokens[self.block][1]
        return (*keys, *self.tokens["decoder"][1]) if rollout and self.block == "cross" else keys

    def blocks(self, anatomy: Anatomy) -> tuple[Block, ...]:
        """The blocks of attention that can be seen."""
        single = all(len(rows) == 1 for rows in self.rows)
        return tuple(
            Block(
                name=name,
                layers=anatomy.layers(name),
                heads=anatomy.heads(name),
                queries=self.tokens[name][0],
                keys=self.tokens[name][1],
                explaining=tuple(rows[0] for rows in self.rows) if single and name == self.block else (),
            )
            for name in anatomy.blocks
        )


class Kind(Protocol):
    """A kind of model: how it answers, and how it reads what it answered.

    `block`: the name of the attention that explains it. `instructed`: whether it follows a prompt.
    """

    block: BlockName
    instructed: bool

    def check(self, model: PreTrainedModel, anatomy: Anatomy) -> None:
        """Raise UnsupportedError or CaptureError for a model that cannot be explained."""

    def count(self, loaded: Loaded, prompt: Prompt) -> int:
        """How many tokens of the prompt are read, without a limit. Raises RenderError."""

    def generate(
        self,
        loaded: Loaded,
        prompt: Prompt,
        *,
        max_tokens: int,
        report: Callable[[int], None],
        observer: Observer,
    ) -> Generation:
        """Answer. Raises ContextLengthError, RenderError, ProviderError."""

    def read(self, loaded: Loaded, prompt: Prompt, output: str | Generation) -> Reading:
        """Prepare the pass over prompt and output. Raises ContextLengthError, RenderError, InputError."""


def logprobs_of(logits: Tensor, ids: tuple[int, ...]) -> Tensor:
    """Log-probability in nats of one token at each position: logits (positions, vocabulary)."""
    wanted = torch.tensor(ids, device=logits.device).unsqueeze(-1)
    return torch.log_softmax(logits.float(), dim=-1).gather(-1, wanted)[:, 0]
