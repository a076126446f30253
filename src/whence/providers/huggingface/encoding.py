"""Prompt and output as token ids, each token with the characters it stands for."""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from whence.providers.base import text_to_explain
from whence.providers.errors import RenderError
from whence.providers.huggingface.offsets import rebuild_offsets
from whence.providers.observations import Generation, Span, Token
from whence.providers.prompt import Prompt, Rendered, Turn, locate

Render = Callable[[Sequence[tuple[str, str]]], str]
"""From the messages, each a role and a text, to what a server makes of them for its model."""

_one_at_a_time = threading.Lock()
"""A call sets a tokenizer's modes, which are its own: two models, each in its thread, may share one."""


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


def encode_prompt(
    tokenizer: Any,
    prompt: Prompt,
    *,
    plain: bool = False,
    sink: bool = True,
    render: Render | None = None,
) -> EncodedPrompt:
    """Render with the model's chat template, or without one as plain text, and tokenise.

    What looks like a control token inside a message (`<|end|>` in a record) is read as plain characters: a
    record cannot end its own turn. Only a mask counts, in an instruction of a `plain` prompt: there sources
    and instructions follow one another without any markup, for models that do no more than read. `sink`:
    whether the first token of all is one (see `Token`). `render`: of the server whose model this is; then
    control tokens count wherever they stand, as they do there. Raises RenderError.
    """
    rendered, ids, spans, special, masks = _read_as_text(tokenizer, prompt, plain=plain, render=render)
    places = [(start, end) for _, start, end in rendered.sources]
    tokens = [
        _place(
            span,
            rendered,
            places,
            is_special=token in special and (_overlap(span, masks) or not _inside(span, rendered.messages)),
        )
        for token, span in zip(ids, spans, strict=True)
    ]
    names = [
        _name(tokenizer, token, rendered.text[slice(*span)]) for token, span in zip(ids, spans, strict=True)
    ]
    if sink and tokens and tokens[0].part != "source":  # a word of a record is never called a sink
        tokens[0] = Token(part="sink")
    return EncodedPrompt(
        ids=tuple(ids),
        tokens=tuple(replace(token, text=name) for token, name in zip(tokens, names, strict=True)),
    )


def prompt_ids(
    tokenizer: Any, prompt: Prompt, *, plain: bool = False, render: Render | None = None
) -> tuple[int, ...]:
    """The ids of `encode_prompt`, for a third of its time."""
    return tuple(_read_as_text(tokenizer, prompt, plain=plain, render=render)[1])


def encode_output(tokenizer: Any, output: str | Generation) -> EncodedOutput:
    """A generation keeps its ids, where it has any; a given text is encoded without special tokens.

    Raises EmptyOutputError, TextError.
    """
    text = text_to_explain(output)
    ids, offsets = tokenize_text(tokenizer, text, target=True)
    spans = tuple(span if span[1] > span[0] else None for span in offsets)
    if isinstance(output, str) or not output.token_ids:
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


def leading_special(tokenizer: Any) -> tuple[int, ...]:
    """The special tokens that the tokenizer puts before a text that is written, such as a language's."""
    return _affixes(tokenizer, target=True)[0]


def ordinary_ids(tokenizer: Any) -> list[int]:
    """Every token of the vocabulary that is not special."""
    return sorted(set(tokenizer.get_vocab().values()) - _special_ids(tokenizer))


def tokenize_text(tokenizer: Any, text: str, *, target: bool = False) -> tuple[list[int], list[Span]]:
    """Ids and characters as from `_tokenize`, with no special tokens: what looks like one is only text."""
    special = _special_ids(tokenizer)
    cuts = {0, len(text)}
    while True:
        ids: list[int] = []
        spans: list[Span] = []
        for start, end in pairwise(sorted(cuts)):
            piece = text[start:end]
            piece_ids, piece_spans = _tokenize(tokenizer, piece, split_special=True, target=target)
            ids += piece_ids
            spans += [(start + a, start + b) for a, b in piece_spans]
        # Unigram vocabularies hold control tokens as pieces like any other: those are cut in two.
        found = {a + 1 for token, (a, b) in zip(ids, spans, strict=True) if token in special and b - a > 1}
        if not found:
            return ids, spans
        cuts |= found


def _tokenize(
    tokenizer: Any,
    text: str,
    *,
    add_special: bool = False,
    split_special: bool = False,
    target: bool = False,
) -> tuple[list[int], list[Span]]:
    """Ids, and each token's characters in `text`; `target`: as what is written, perhaps in another language.

    Raises ModelLoadError where a tokenizer without offsets cannot be followed.
    """
    with _one_at_a_time:
        encoded = tokenizer(
            **{"text_target" if target else "text": text},
            add_special_tokens=add_special,
            split_special_tokens=split_special,
            return_offsets_mapping=tokenizer.is_fast,
            return_attention_mask=False,
            verbose=False,
        )
        ids = encoded["input_ids"]
        if tokenizer.is_fast:
            return ids, encoded["offset_mapping"]
        return ids, rebuild_offsets(tokenizer, text, ids, split_special=split_special, target=target)


def _read_as_text(
    tokenizer: Any, prompt: Prompt, *, plain: bool, render: Render | None
) -> tuple[Rendered, list[int], list[Span], set[int], list[Span]]:
    """The rendered prompt, its ids, their characters in it, which ids are special, and where masks stand."""
    special = _special_ids(tokenizer)
    if render is not None:
        rendered = _rendered_elsewhere(render, prompt.turns())
        return rendered, *_tokenize(tokenizer, rendered.text, add_special=True), special, []
    templated = bool(tokenizer.chat_template) and not plain
    rendered = _render(tokenizer, prompt.turns(marked=not plain), templated=templated, plain=plain)
    ids, spans = _tokenize(tokenizer, rendered.text, add_special=not templated)
    masks = _masks(tokenizer, rendered) if plain else []
    control = [span for token, span in zip(ids, spans, strict=True) if token in special]
    if any(_inside(span, rendered.messages) and not _overlap(span, masks) for span in control):
        ids, spans = _tokenize_apart(tokenizer, rendered, masks, add_special=not templated)
    return rendered, ids, spans, special, masks


def _render(tokenizer: Any, turns: tuple[Turn, ...], *, templated: bool, plain: bool) -> Rendered:
    def render(texts: Sequence[str]) -> str:
        if not templated:
            return "\n\n".join(texts) + ("" if plain else "\n\n")
        messages = [{"role": turn.role, "content": text} for turn, text in zip(turns, texts, strict=True)]
        try:
            text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program that came with the model: it may raise anything
            raise RenderError(f"the model's chat template refuses these messages: {error}") from error
        return text

    return locate(render, turns)


def _rendered_elsewhere(render: Render, turns: tuple[Turn, ...]) -> Rendered:
    return locate(lambda texts: render([(t.role, text) for t, text in zip(turns, texts, strict=True)]), turns)


def _masks(tokenizer: Any, rendered: Rendered) -> list[Span]:
    """Where the instructions hold a mask, with the blanks that it takes up."""
    mask = tokenizer.added_tokens_decoder.get(tokenizer.mask_token_id)
    if mask is None:
        return []
    before, after = (r"\s*" if strips else "" for strips in (mask.lstrip, mask.rstrip))
    found = re.finditer(f"{before}({re.escape(mask.content)}){after}", rendered.text)
    return [m.span() for m in found if _inside(m.span(1), rendered.instructions)]


def _tokenize_apart(
    tokenizer: Any, rendered: Rendered, masks: list[Span], *, add_special: bool
) -> tuple[list[int], list[Span]]:
    """Piece by piece, with control tokens recognised in the template, and in masks, alone."""
    prefix, suffix = _affixes(tokenizer, target=False) if add_special else ((), ())
    ids, spans = list(prefix), [(0, 0)] * len(prefix)
    edges = sorted({0, len(rendered.text), *(edge for span in (*rendered.messages, *masks) for edge in span)})
    for start, end in pairwise(edges):
        as_text = _inside((start, end), rendered.messages) and (start, end) not in masks
        piece = rendered.text[start:end]
        piece_ids, piece_spans = (tokenize_text if as_text else _tokenize)(tokenizer, piece)
        ids += piece_ids
        spans += [(start + a, start + b) for a, b in piece_spans]
    return [*ids, *suffix], [*spans, *[(0, 0)] * len(suffix)]


def _affixes(tokenizer: Any, *, target: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that the tokenizer puts before and after a text."""
    ids, _ = _tokenize(tokenizer, "a", add_special=True, target=target)
    special = _special_ids(tokenizer)
    first = next(i for i, token in enumerate(ids) if token not in special)
    last = next(i for i, token in reversed(list(enumerate(ids))) if token not in special)
    return tuple(ids[:first]), tuple(ids[last + 1 :])


def _name(tokenizer: Any, token: int, text: str) -> str:
    """What to call a token: its characters, or its name where it has none."""
    return text or str(tokenizer.convert_ids_to_tokens(token))


def _special_ids(tokenizer: Any) -> set[int]:
    """Control tokens: those that the tokenizer names (its end token), and those that it only marks.

    The unknown token is none, for it stands for characters of the text, unless it also ends texts (gpt2).
    """
    marked = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    unknown = {tokenizer.unk_token_id} - {tokenizer.bos_token_id, tokenizer.eos_token_id}
    return (marked | set(tokenizer.all_special_ids)) - unknown


def _inside(span: Span, messages: tuple[Span, ...]) -> bool:
    return span[0] < span[1] and any(start <= span[0] and span[1] <= end for start, end in messages)


def _place(span: Span, rendered: Rendered, places: list[Span], *, is_special: bool) -> Token:
    """Where one token came from; `places` are the spans of the sources."""
    if is_special:
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


def _overlap(span: Span, ranges: Sequence[Span]) -> bool:
    return _overlapping(span, ranges) is not None


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
