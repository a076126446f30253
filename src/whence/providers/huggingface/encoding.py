"""Prompt and output as token ids, each token with the characters it stands for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from whence.providers.base import text_to_explain
from whence.providers.errors import RenderError
from whence.providers.observations import Generation, Span, Token
from whence.providers.prompt import Prompt, Rendered, Turn, locate


@dataclass(frozen=True, kw_only=True)
class EncodedPrompt:
    """`ids` of the whole prompt, up to where the answer begins, and where each token came from."""

    ids: tuple[int, ...]
    tokens: tuple[Token, ...]


@dataclass(frozen=True, kw_only=True)
class EncodedOutput:
    """`ids` of the output, and each token's characters in its text; None where it has none."""

    ids: tuple[int, ...]
    spans: tuple[Span | None, ...]
    text: str

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The output's tokens as the model reads them again; one without characters stands at the end."""
        places = [(len(self.text),) * 2 if span is None else span for span in self.spans]
        return tuple(Token(part="output", start=a, end=b, text=self.text[a:b]) for a, b in places)


def encode_prompt(tokenizer: Any, prompt: Prompt) -> EncodedPrompt:
    """Render with the model's chat template, or without one as plain text, and tokenise.

    What looks like a control token inside a message (`<|end|>` in a record) is read as plain characters: a
    record cannot end its own turn. Raises RenderError.
    """
    rendered = _render(tokenizer, prompt.turns())
    add_special = not tokenizer.chat_template
    ids, spans = _tokenize(tokenizer, rendered.text, add_special=add_special)
    special = _special_ids(tokenizer)
    if any(i in special and _inside(span, rendered.messages) for i, span in zip(ids, spans, strict=True)):
        ids, spans = _tokenize_apart(tokenizer, rendered, add_special=add_special)
    places = [(start, end) for _, start, end in rendered.sources]
    return EncodedPrompt(
        ids=tuple(ids),
        tokens=tuple(
            _place(index, span, rendered, places, is_special=token in special)
            for index, (token, span) in enumerate(zip(ids, spans, strict=True))
        ),
    )


def encode_output(tokenizer: Any, output: str | Generation) -> EncodedOutput:
    """A generation keeps its ids; a given text is encoded without special tokens.

    Raises EmptyOutputError, TextError.
    """
    text = text_to_explain(output)
    ids, offsets = _tokenize(tokenizer, text, add_special=False, split_special=True)
    spans = tuple(span if span[1] > span[0] else None for span in offsets)
    if isinstance(output, str):
        return EncodedOutput(ids=tuple(ids), spans=spans, text=text)
    ends = len(output.token_ids) - len(ids)
    if output.token_ids[: len(ids)] == tuple(ids) and _special_ids(tokenizer).issuperset(
        output.token_ids[len(ids) :]
    ):
        return EncodedOutput(ids=output.token_ids, spans=(*spans, *[None] * ends), text=text)
    return EncodedOutput(ids=output.token_ids, spans=_spans_by_decoding(tokenizer, output), text=text)


def decode(tokenizer: Any, ids: tuple[int, ...]) -> str:
    """The text of generated ids, without special tokens and without tidying of blanks."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def _render(tokenizer: Any, turns: tuple[Turn, ...]) -> Rendered:
    def render(texts: Sequence[str]) -> str:
        if not tokenizer.chat_template:
            return "\n\n".join(texts) + "\n\n"
        messages = [{"role": turn.role, "content": text} for turn, text in zip(turns, texts, strict=True)]
        try:
            text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program that came with the model: it may raise anything
            raise RenderError(f"the model's chat template refuses these messages: {error}") from error
        return text

    return locate(render, turns)


def _tokenize(
    tokenizer: Any, text: str, *, add_special: bool, split_special: bool = False
) -> tuple[list[int], list[Span]]:
    encoded = tokenizer(
        text,
        add_special_tokens=add_special,
        split_special_tokens=split_special,
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    return encoded["input_ids"], encoded["offset_mapping"]


def _tokenize_apart(tokenizer: Any, rendered: Rendered, *, add_special: bool) -> tuple[list[int], list[Span]]:
    """Template and messages one by one, with control tokens recognised in the template alone."""
    ids: list[int] = []
    spans: list[Span] = []
    edges = [0, *(edge for message in rendered.messages for edge in message), len(rendered.text)]
    for number, (start, end) in enumerate(pairwise(edges)):
        piece_ids, piece_spans = _tokenize(
            tokenizer,
            rendered.text[start:end],
            add_special=add_special and number == 0,
            split_special=number % 2 == 1,
        )
        ids += piece_ids
        spans += [(start + a, start + b) for a, b in piece_spans]
    return ids, spans


def _special_ids(tokenizer: Any) -> set[int]:
    """Control tokens: those that the tokenizer names (its end token), and those that it only marks."""
    marked = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return marked | set(tokenizer.all_special_ids)


def _inside(span: Span, messages: tuple[Span, ...]) -> bool:
    return span[0] < span[1] and any(start <= span[0] and span[1] <= end for start, end in messages)


def _place(index: int, span: Span, rendered: Rendered, places: list[Span], *, is_special: bool) -> Token:
    """Where one token came from; `places` are the spans of the sources."""
    if index == 0:
        return Token(part="sink")
    if is_special and not _inside(span, rendered.messages):
        return Token(part="special")
    # Some tokenizers trim blanks from their offsets: a blank token then has a place, and no characters.
    place = (span[0], max(span[1], span[0] + 1))
    found = _overlapping(place, places)
    if found is not None:
        source, start, end = rendered.sources[found]
        begin = max(span[0], start)
        return Token(
            part="source", source=source, start=begin - start, end=max(begin, min(span[1], end)) - start
        )
    instruction = _overlapping(place, rendered.instructions)
    return Token(part="template" if instruction is None else "instruction")


def _overlapping(span: Span, ranges: Sequence[Span]) -> int | None:
    """The first of some sorted ranges that shares a character with `span`."""
    first = bisect_right(ranges, span[0], key=lambda r: r[1])
    return first if first < len(ranges) and ranges[first][0] < span[1] else None


def _spans_by_decoding(tokenizer: Any, output: Generation) -> tuple[Span | None, ...]:
    """Characters of generated tokens whose ids are not those the tokenizer would choose for the text.

    The end of token i is where the decoded first i tokens stop agreeing with the text; a token that only
    begins a character (a byte of an emoji) shares that character with the tokens that finish it.
    """
    special = _special_ids(tokenizer)
    spans: list[Span | None] = []
    at = 0
    for count, token in enumerate(output.token_ids, start=1):
        if token in special:
            spans.append(None)
            continue
        end = _agreement(decode(tokenizer, output.token_ids[:count]), output.text)
        spans.append((at, max(end, min(at + 1, len(output.text)))) if at < len(output.text) else None)
        at = max(at, end)
    return tuple(spans)


def _agreement(one: str, other: str) -> int:
    """How many characters two texts share from their beginning."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
