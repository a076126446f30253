"""What can be seen of a model that an Ollama holds, found out without making it write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio.to_thread

from whence.providers.base import Access
from whence.providers.errors import (
    InputError,
    MissingExtraError,
    ModelLoadError,
    UnsupportedError,
)
from whence.providers.ollama.place import name_of, require_local
from whence.providers.ollama.wire import Held, Shown, Wire
from whence.providers.registry import PROVIDERS, installed

if TYPE_CHECKING:
    from whence.providers.ollama.native import Weights

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
WRITES = "completion"
LOGPROBS_SINCE = (0, 12, 11)
TRUNCATE_SINCE = (0, 12, 6)
"""Before, Ollama cuts a prompt that does not fit, whatever it is told, and says nothing."""
DEVELOPMENT = (0, 0, 0)
"""What an Ollama calls itself that was not released."""
ALWAYS_THINKS = ("gptoss", "gpt-oss")
USUAL_CONTEXT_TOKENS = 8192
PARAMETER = re.compile(r"^num_ctx\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a model is asked, and its weights are looked for.

    `num_ctx`: tokens that it may read and write, where that is chosen. `native`: whether its weights must be
    loaded here, may be (None), or are not.
    """

    num_ctx: int | None = None
    native: bool | None = None
    models_dir: str | Path | None = None
    dtype: Dtype = "auto"
    device: str | None = None


@dataclass(frozen=True, kw_only=True)
class Survey:
    """`context_tokens`: with which the server is asked. `cuts`: whether it may cut a prompt without a word.

    `weights`: those that can be loaded here; else `no_weights` says why not. `no_scores`: why a given output
    cannot be scored by the server; None where it can.
    """

    context_tokens: int
    cuts: bool
    weights: Weights | None = None
    no_weights: str = ""
    no_scores: str | None = None

    @property
    def access(self) -> Access:
        """The deepest level."""
        if self.weights is not None:
            return "weights"
        return "logprobs" if self.no_scores is None else "text"


async def survey(wire: Wire, held: Held, version: str, options: Options) -> Survey:
    """Look at one model.

    Raises UnsupportedError for one that cannot be explained at all, InputError, ProviderError, and with
    `native` whatever keeps its weights from being loaded.
    """
    require_local(held.name)
    shown = await wire.show(held.name)
    require_local(held.name, shown.remote_host)
    if shown.capabilities and WRITES not in shown.capabilities:
        raise UnsupportedError(
            f"{held.name} writes no text (it can: {', '.join(shown.capabilities)}); take a model that answers"
        )
    weights, no_weights = None, ""
    if options.native is False:
        no_weights = "native=False was given"
    else:
        try:
            weights = await anyio.to_thread.run_sync(_weights, wire, held, shown, options)
        except (UnsupportedError, ModelLoadError, MissingExtraError) as error:
            if options.native:
                raise
            no_weights = str(error)
    context_tokens = _context_tokens(shown, options.num_ctx)
    if weights is not None:
        context_tokens = min(context_tokens, weights.context_tokens)
    return Survey(
        context_tokens=context_tokens,
        cuts=_before(version, TRUNCATE_SINCE),
        weights=weights,
        no_weights=no_weights,
        no_scores=_no_scores(shown, version),
    )


def _weights(wire: Wire, held: Held, shown: Shown, options: Options) -> Weights:
    if not wire.place.here and options.models_dir is None:
        raise UnsupportedError(
            f"this Ollama runs on another machine ({wire.place.url}); where the folder of its models can be "
            "read all the same, name it (models_dir=)"
        )
    local = PROVIDERS["huggingface"]
    if not installed(local):
        raise MissingExtraError("huggingface", local.packages[0])
    from whence.providers.ollama.native import look

    return look(
        name_of(held.name),
        held.digest,
        shown.modelfile or "",
        models_dir=options.models_dir,
        dtype=options.dtype,
        device=options.device,
    )


def _no_scores(shown: Shown, version: str) -> str | None:
    if _before(version, LOGPROBS_SINCE):
        since = ".".join(map(str, LOGPROBS_SINCE))
        return f"this Ollama is {version}, and tells log-probabilities from {since} on only"
    details = shown.details
    if details is not None and details.family in ALWAYS_THINKS:
        return "this model always thinks before it answers, and what it thinks cannot be forced"
    if details is not None and details.format not in ("", None, "gguf"):
        return f"its weights are {details.format}, which Ollama runs otherwise; only GGUF models are scored"
    return None


def _before(version: str, since: tuple[int, ...]) -> bool:
    """Whether `0.12.11-rc1`, say, is older. Raises InputError."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        raise InputError(f"this Ollama calls itself {version[:40]!r}, which is no version; update it")
    numbers = tuple(map(int, found.groups()))
    return numbers != DEVELOPMENT and numbers < since


def _context_tokens(shown: Shown, asked: int | None) -> int:
    trained = [
        value
        for key, value in (shown.modelinfo or {}).items()
        if key.endswith(".context_length") and isinstance(value, int) and value > 0
    ]
    longest = min(trained, default=USUAL_CONTEXT_TOKENS)
    chosen = PARAMETER.search(shown.parameters or "")
    return min(longest, asked or (int(chosen[1]) if chosen else 0) or USUAL_CONTEXT_TOKENS)
