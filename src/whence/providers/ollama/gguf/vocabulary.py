"""The tokenizer of a GGUF file, with the ids that llama.cpp makes of a text.

Control tokens in the text count, as in the prompts that Ollama renders. What the file does not say is
llama.cpp's default. Sources: its `src/llama-vocab.cpp` and `src/unicode.cpp`, of October 2026.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from gguf import TokenType
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from whence.providers.errors import WhenceError
from whence.providers.ollama.gguf.header import Header
from whence.providers.ollama.gguf.keys import damaged, unsupported

PREFIX = "tokenizer.ggml."
_USED = (
    *("model", "pre", "tokens", "scores", "token_type", "merges", "add_bos_token", "add_eos_token"),
    *("bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id", "add_space_prefix"),
)
_ALLOWED = {
    "add_sep_token": False,
    "remove_extra_whitespaces": False,
    "escape_whitespaces": True,
    "treat_whitespace_as_suffix": False,
}
"""Keys that change nothing where they have these values."""
_INERT = (
    *("eot_token_id", "eom_token_id", "eos_token_ids", "seperator_token_id", "mask_token_id", "cls_token_id"),
    *("fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id", "fim_pad_token_id", "fim_rep_token_id"),
    *("fim_sep_token_id", "prefix_token_id", "suffix_token_id", "middle_token_id", "fsep_token_id"),
    *("token_type_count", "add_padding_token", "add_unknown_token"),
)
"""Tokens that only those use who know of them, and what none of these tokenizers has."""
HANDLED = frozenset(PREFIX + name for name in (*_USED, *_ALLOWED, *_INERT))

_TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_CLITICS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{L}&&[^a-z]]", r"[\p{L}&&[^A-Z]]"  # of ASCII alone: as llama.cpp has it
_WORD = r"[^\r\n\p{L}\p{N}]?"
_LLAMA3 = rf"{_CLITICS}|{_WORD}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_TAIL}"
_QWEN2 = rf"{_CLITICS}|{_WORD}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_TAIL}"
_TEKKEN = (
    rf"{_WORD}{_UPPER}*{_LOWER}+|{_WORD}{_UPPER}+{_LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_TAIL}"
)
_GPT4O = (
    rf"{_WORD}{_UPPER}*{_LOWER}+{_CLITICS}?|{_WORD}{_UPPER}+{_LOWER}*{_CLITICS}?|\p{{N}}{{1,3}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_TAIL}"
)
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

SPLITS: dict[str, tuple[tuple[str, ...], bool]] = {
    **dict.fromkeys(("gpt-2", "phi-2"), ((_GPT2,), False)),
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral", "lfm2"), ((_LLAMA3,), True)),
    **dict.fromkeys(("dbrx", "smaug-bpe"), ((_LLAMA3,), False)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), ((_QWEN2,), False)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r"), ((r"\p{N}", _GPT2), False)),
    "tekken": ((_TEKKEN,), True),
    "gpt-4o": ((_GPT4O,), False),
}
"""By `tokenizer.ggml.pre`: the expressions that split a text, one after another, and whether a piece that is
a token is taken whole, with a token for the beginning unless the file says otherwise."""

_ENDS = frozenset(
    ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>")
)
"""Control tokens for llama.cpp whatever the file calls them."""
_STRIPPING_NAMES = ("phi-3", "phi3")
"""Names of models whose control tokens take the blanks after them, in llama.cpp those of ASCII alone."""
_NOT_STRIPPING = frozenset(("<unk>", "<s>", "<|endoftext|>"))


def check_vocabulary(header: Header, size: int) -> None:
    """That the tokenizer is one that is handled, and has `size` tokens. Raises as `tokenizer_of` does."""
    model = header.metadata.get(PREFIX + "model")
    if model not in ("gpt2", "llama"):
        raise unsupported(f"{PREFIX}model is {model!r}; gpt2 and llama are handled")
    if model == "gpt2" and (pre := header.metadata.get(PREFIX + "pre")) not in SPLITS:
        raise unsupported(f"{PREFIX}pre is {pre!r}; {', '.join(SPLITS)} are handled")
    for name, value in _ALLOWED.items():
        if header.metadata.get(PREFIX + name, value) != value:
            raise unsupported(f"{PREFIX}{name} = {header.metadata[PREFIX + name]!r} is not handled")
    if (count := len(_tokens(header))) != size:
        raise damaged(f"it has {count} tokens, and token_embd.weight has {size} rows")


def tokenizer_of(header: Header) -> PreTrainedTokenizerFast:
    """The tokenizer. Raises UnsupportedError for a kind that is not handled, ModelLoadError for a damaged."""
    tokens = _tokens(header)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise damaged(f"two of its {len(tokens)} tokens have the same text")
    types = _array(header, "token_type", len(tokens), default=int(TokenType.NORMAL))
    byte_level = header.metadata[PREFIX + "model"] == "gpt2"
    try:
        backend, begins = (_byte_level if byte_level else _sentencepiece)(header, vocabulary)
        backend.add_tokens(list(_marked(header, tokens, types)))
        ids = {name: _id(header, name, len(tokens)) for name in ("bos", "eos", "unknown", "padding")}
        backend.post_processor = _affixes(header, tokens, ids, begins=begins)
    except WhenceError:
        raise
    except Exception as error:  # the library raises no other class, about a merge that has no token, say
        raise damaged(f"its tokenizer cannot be made ({error})") from error
    named: dict[str, Any] = {
        f"{short}_token": tokens[index]
        for short, index in zip(("bos", "eos", "unk", "pad"), ids.values(), strict=True)
        if index is not None
    }
    template = header.metadata.get("tokenizer.chat_template")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        chat_template=template if isinstance(template, str) else None,
        **named,
    )


def _byte_level(header: Header, vocabulary: dict[str, int]) -> tuple[Tokenizer, bool]:
    splits, whole = SPLITS[str(header.metadata[PREFIX + "pre"])]
    merges = []
    for merge in _texts(header, "merges"):
        first, blank, second = merge.partition(" ")
        if not blank:
            raise damaged(f"{PREFIX}merges has {merge!r}, not two tokens with a blank between them")
        merges.append((first, second))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=whole))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(split), behavior="isolated") for split in splits),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend, whole


def _sentencepiece(header: Header, vocabulary: dict[str, int]) -> tuple[Tokenizer, bool]:
    """The pieces with the best scores are joined first, of equal ones the first in the text."""
    scores = _array(header, "scores", len(vocabulary), default=None)
    if not all(isinstance(score, float) and math.isfinite(score) for score in scores):
        raise damaged(f"{PREFIX}scores has entries that are no numbers")
    if any(f"<0x{byte:02X}>" not in vocabulary for byte in range(256)):
        raise unsupported("its tokenizer has no tokens for single bytes")
    joined = [
        (-scores[index], index, token[:at], token[at:])
        for token, index in vocabulary.items()
        for at in range(1, len(token))
        if token[:at] in vocabulary and token[at:] in vocabulary
    ]
    joined.sort(key=lambda merge: merge[:2])
    backend = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=[(first, second) for _, _, first, second in joined],
            byte_fallback=True,
        )
    )
    prefix = _flag(header, "add_space_prefix", default=True)
    steps: list[normalizers.Normalizer] = [normalizers.Prepend("▁")] if prefix else []
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        + ([decoders.Strip(content=" ", left=1)] if prefix else [])
    )
    return backend, True


def _marked(header: Header, tokens: list[str], types: list[Any]) -> Iterator[AddedToken]:
    """The tokens that are taken whole out of a text, before it is split."""
    name = str(header.metadata.get("general.name", "")).lower()
    strips = any(known in name for known in _STRIPPING_NAMES)
    for token, kind in zip(tokens, types, strict=True):
        control = kind in (TokenType.CONTROL, TokenType.UNKNOWN) or token in _ENDS
        if token and (control or kind == TokenType.USER_DEFINED):
            rstrip = strips and token not in _NOT_STRIPPING
            yield AddedToken(token, normalized=False, special=control, rstrip=rstrip)


def _affixes(
    header: Header, tokens: list[str], ids: dict[str, int | None], *, begins: bool
) -> processors.PostProcessor:
    """Beginning and end, where the file wants them. Written in the text, they come twice, as in llama.cpp."""
    before, after = (
        [ids[short]] if _flag(header, f"add_{short}_token", default=default) else []
        for short, default in (("bos", begins), ("eos", False))
    )
    if None in (*before, *after):
        raise unsupported("it adds a token to each prompt, and does not say which")
    special = [(tokens[index], index) for index in (*before, *after) if index is not None]
    names = [token for token, _ in special]
    parts = [*names[: len(before)], "$A", *names[len(before) :]]
    return processors.TemplateProcessing(single=parts, pair=[*parts, "$B"], special_tokens=special)


# What the file says -----------------------------------------------------------------------------------------


def _texts(header: Header, name: str) -> list[str]:
    value = header.metadata.get(PREFIX + name)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise damaged(f"{PREFIX}{name} is missing, or is no list of texts")
    texts = [str(text) for text in value]
    if not "".join(texts).isprintable() and any("\ud800" <= c <= "\udfff" for text in texts for c in text):
        raise unsupported(f"{PREFIX}{name} has entries that are not UTF-8")
    return texts


def _tokens(header: Header) -> list[str]:
    """The tokens that have an embedding. Ollama's own converter leaves an image's token in gemma3 without."""
    texts = _texts(header, "tokens")
    rows = [tensor.shape[-1] for tensor in header.tensors if tensor.name == "token_embd.weight"]
    return texts[: rows[0]] if rows and header.architecture == "gemma3" else texts


def _array(header: Header, name: str, size: int, *, default: Any) -> list[Any]:
    """As many entries as there are tokens."""
    value = header.metadata.get(PREFIX + name, None if default is None else [default] * size)
    if not isinstance(value, list) or len(value) < size:
        raise damaged(f"{PREFIX}{name} is missing, or has fewer than {size} entries")
    return value[:size]


def _id(header: Header, name: str, size: int) -> int | None:
    value = header.metadata.get(f"{PREFIX}{name}_token_id")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size:
        raise damaged(f"{PREFIX}{name}_token_id is {value!r}, of {size} tokens")
    return value


def _flag(header: Header, name: str, *, default: bool) -> bool:
    value = header.metadata.get(PREFIX + name, default)
    if not isinstance(value, bool):
        raise damaged(f"{PREFIX}{name} is {value!r}, not true or false")
    return value
