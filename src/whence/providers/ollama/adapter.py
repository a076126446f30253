"""The adapter for models that an Ollama serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from whence.providers.base import Capabilities, Progress, Step, Watcher, report, text_to_explain
from whence.providers.errors import (
    CaptureError,
    InputError,
    ModelLoadError,
    ProviderError,
    RenderError,
    UnsupportedError,
)
from whence.providers.observations import (
    AttentionQuery,
    AttentionRows,
    Generation,
    Reduction,
    TokenScores,
)
from whence.providers.ollama.place import name_of, place_of, require_local
from whence.providers.ollama.served import Served, held_of
from whence.providers.ollama.survey import Dtype, Options, Survey, survey
from whence.providers.ollama.wire import Messages, Wire
from whence.providers.options import require_limits, require_temperature, require_texts
from whence.providers.prompt import Prompt
from whence.providers.turns import Turns

if TYPE_CHECKING:
    from whence.providers.huggingface.local import LocalModel

MOST_TEMPERATURE = 2
PROBE = (("user", "Hello"),)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A model that was looked at: through its server, and where its weights are here, these.

    `digest`: of its manifest then.
    """

    digest: str
    survey: Survey
    served: Served
    local: LocalModel | None


class Ollama:
    """A model of an Ollama, by its name; it is asked in its own words, and never to pull anything.

    Where its weights are on this machine they are loaded here, and its attention is native; elsewhere a given
    output is scored by making it write that. `native`: True asks for the first, and says why where it cannot
    be had; False keeps to the server. `models_dir`: where it keeps its models, if not where Ollama usually
    does; where None, OLLAMA_MODELS. `dtype`: of weights loaded here: `float32`, `bfloat16`, `float16`; `auto`
    is float32 for files of that, and bfloat16 for all others. `device`: of those, as for `HuggingFace`.

    `host`: HOST, HOST:PORT or a URL; where None, OLLAMA_HOST, else this machine. http:// to another machine
    is refused unless `insecure`: the record would cross the network in the clear. `api_key`: for a proxy
    before it, sent as a bearer token; where None, OLLAMA_API_KEY. `num_ctx`: tokens that it may read and
    write; where None, what its Modelfile says, else 8192, or less where it was trained with less.
    `temperature`, in [0, 2]. `timeout_seconds`: of one attempt; `max_in_flight`, `deadline_seconds`: as in
    `Capabilities`.

    Raises InputError.
    """

    name = "ollama"

    def __init__(
        self,
        model: str,
        *,
        host: str | None = None,
        native: bool | None = None,
        models_dir: str | Path | None = None,
        dtype: Dtype = "auto",
        device: str | None = None,
        num_ctx: int | None = None,
        temperature: float = 0.0,
        api_key: str | None = None,
        insecure: bool = False,
        max_in_flight: int = 2,
        timeout_seconds: float = 600.0,
        deadline_seconds: float = 1800.0,
    ) -> None:
        require_texts(model=model, host=host, api_key=api_key, device=device)
        require_limits(
            max_in_flight=max_in_flight, timeout_seconds=timeout_seconds, deadline_seconds=deadline_seconds
        )
        require_temperature(temperature, most=MOST_TEMPERATURE)
        if num_ctx is not None and (not isinstance(num_ctx, int) or isinstance(num_ctx, bool) or num_ctx < 1):
            raise InputError(f"num_ctx={num_ctx!r}: it is a number of tokens, 1 or greater")
        if native is not None and not isinstance(native, bool):
            raise InputError(f"native={native!r}: it is True, False or None")
        if dtype not in get_args(Dtype):
            raise InputError(f"dtype={dtype!r}: it is one of {', '.join(get_args(Dtype))}")
        if models_dir is not None and (not isinstance(models_dir, str | Path) or "\0" in str(models_dir)):
            raise InputError(f"models_dir={models_dir!r}: it is the path of a folder")
        name_of(model)
        require_local(model)
        self.model = model
        self._wire = Wire(
            place_of(host, insecure=insecure),
            api_key=api_key,
            timeout_seconds=timeout_seconds,
        )
        self._options = Options(
            num_ctx=num_ctx, native=native, models_dir=models_dir, dtype=dtype, device=device
        )
        self._temperature = temperature
        self._max_in_flight = max_in_flight
        self._deadline_seconds = deadline_seconds
        self._asking = Turns()
        self._found: _Known | None = None

    async def capabilities(self) -> Capabilities:
        """What can be seen; the first call looks at the model, and loads its weights where they are here.

        So does the first after it was pulled anew. Raises UnknownModelError, UnsupportedError,
        AuthenticationError, ProviderError.
        """
        known = await self._known(anew=True)
        if known.local is not None:
            # It is the server that writes, and no two of its answers need be the same.
            return replace(await known.local.capabilities(), deterministic=False)
        scores = known.survey.no_scores is None
        return Capabilities(
            access=known.survey.access,
            context_tokens=known.served.num_ctx,
            scores=scores,
            forces=scores,
            refused=dict.fromkeys(get_args(Reduction), known.survey.no_weights),
            max_in_flight=self._max_in_flight,
            deadline_seconds=self._deadline_seconds,
            notes=() if scores else (f"Only texts are compared: {known.survey.no_scores}.",),
        )

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """Let the server's model answer, without thinking first. Raises ContextLengthError, ProviderError."""
        known = await self._known()
        written = await known.served.write(
            _messages(prompt), max_tokens=max_tokens, seed=seed, progress=progress
        )
        await self._require_the_same(known)
        return written

    async def attend(
        self,
        prompt: Prompt,
        output: str | Generation,
        query: AttentionQuery,
        *,
        progress: Progress | None = None,
        watcher: Watcher | None = None,
    ) -> AttentionRows:
        """Attention of the weights loaded here; see `Attends.attend`. Also raises UnsupportedError."""
        known = await self._known()
        local = self._weights(known)
        await _require_agreement(known.served, local, prompt)
        rows = await local.attend(prompt, output, query, progress=progress, watcher=watcher)
        await self._require_the_same(known)
        return rows

    async def score(
        self, prompts: Sequence[Prompt], output: str | Generation, *, progress: Progress | None = None
    ) -> tuple[TokenScores, ...]:
        """Log-probabilities by the weights loaded here, else by making the server's model write the output.

        See `Scores.score`. Also raises UnsupportedError.
        """
        known = await self._known()
        if known.local is not None:
            if len(prompts) == 1:  # as the whole prompt is, before those with something removed
                await _require_agreement(known.served, known.local, prompts[0])
            found = await known.local.score(prompts, output, progress=progress)
            await self._require_the_same(known)
            return found
        if known.survey.no_scores is not None:
            raise UnsupportedError(f"{self.model} cannot score a given output: {known.survey.no_scores}")
        text = text_to_explain(output)
        scores: list[TokenScores] = []
        for prompt in prompts:
            scores.append(await known.served.force(_messages(prompt), text))
            await report(progress, Step(stage="score", done=len(scores), total=len(prompts)))
        await self._require_the_same(known)
        return tuple(scores)

    async def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of Ollama's own rendering, where the weights are loaded here. Raises UnsupportedError."""
        return await self._weights(await self._known()).count_tokens(prompt)

    async def _known(self, *, anew: bool = False) -> _Known:
        """What was found out; `anew`: unless the model was changed since."""
        async with self._asking.turn():
            if self._found is not None and anew and await self._changed(self._found):
                self._found = None
            if self._found is None:
                self._found = await self._looked()
            return self._found

    async def _changed(self, known: _Known) -> bool:
        return (await held_of(self._wire, self.model)).digest != known.digest

    async def _require_the_same(self, known: _Known) -> None:
        """Raise ProviderError where the model was pulled anew since it was looked at."""
        if await self._changed(known):
            if self._found is known:
                self._found = None
            raise ProviderError(
                f"{self.model} was pulled or made anew while it was asked, so its answers are not of one "
                "model; explain again"
            )

    async def _looked(self) -> _Known:
        version = await self._wire.version()
        held = await held_of(self._wire, self.model)
        found = await survey(self._wire, held, version, self._options)
        served = Served(
            self._wire,
            self.model,
            num_ctx=found.context_tokens,
            cuts=found.cuts,
            temperature=self._temperature,
        )
        local = None
        if found.weights is not None:
            from whence.providers.ollama.native import local_model, require_memory

            device = self._options.device
            try:
                await served.render(PROBE)  # which makes the server load its own copy of the weights
                require_memory(found.weights, device)
                local = local_model(
                    found.weights, served.render, device=device, context_tokens=served.num_ctx
                )
            except (RenderError, ModelLoadError) as error:
                if self._options.native:
                    raise
                found = replace(found, weights=None, no_weights=str(error))
        return _Known(digest=held.digest, survey=found, served=served, local=local)

    def _weights(self, known: _Known) -> LocalModel:
        if known.local is None:
            raise UnsupportedError(
                f"{self.model} is only asked through its Ollama: {known.survey.no_weights}"
            )
        return known.local


async def _require_agreement(served: Served, local: LocalModel, prompt: Prompt) -> None:
    """Raise CaptureError where Ollama reads other tokens than are read here."""
    here, there = await local.count_tokens(prompt), await served.count(_messages(prompt))
    if here != there:
        read = "does not say how many tokens it reads" if there is None else f"reads {there} tokens"
        raise CaptureError(
            f"Ollama {read} of this prompt, and here they are {here}: its tokenizer is not the one that the "
            "file describes, or an older Ollama prepares prompts differently. Take native=False, which asks "
            "the server alone"
        )


def _messages(prompt: Prompt) -> Messages:
    return tuple((turn.role, turn.text) for turn in prompt.turns())
