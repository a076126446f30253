"""What does it cost to score a given output under many ablations of its source, by us and by the peers?

A random Llama of 27M parameters with a vocabulary of 32,000, one thread. A prompt of about 435 tokens, whose
source has 30 sentences, and an output of 28 tokens are scored in each of these ways:

- plain: one forward pass over prompt and output, with all logits and without a cache;
- leave_one_out: by `Explainer.explain`, the whole prompt and each without one sentence, 31 prompts;
- lasso: by `Explainer.explain`, the whole prompt and 32 of which each keeps a sentence with probability 0.5;
- Captum: `FeatureAblation` of the 30 sentences in `LLMAttribution`, with `forward_in_tokens=False`;
- ContextCite: 32 ablations of the same sentences, and its lasso.

CPU: seconds of process time, the median of some rounds in which all take turns; plain takes three before each
of the others. All from the text to the scores, after one turn to load and examine. A peer that is not
installed is left out, with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from rich.progress import track
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.utils import logging

from whence import Explainer
from whence.demo.records import PROMPT, generate
from whence.explain.segments import split
from whence.providers.huggingface import HuggingFace
from whence.providers.huggingface.encoding import encode_output, prompt_ids
from whence.providers.prompt import Message, Prompt, Source

SENTENCES, PROMPT_TOKENS, OUTPUT_TOKENS = 30, 435, 28
ABLATIONS, KEPT = 32, 0.5
AIMS = {"leave_one_out": 13.0, "lasso": 14.0}


@dataclass(frozen=True, kw_only=True)
class Text:
    """What is scored: the sentences of one source, each on its line, and an output."""

    sentences: tuple[str, ...]
    output: str

    def prompt(self, kept: Iterable[int]) -> Prompt:
        """The prompt with some of the sentences."""
        source = Source(text="".join(self.sentences[i] for i in kept), name="record")
        return Prompt(messages=(Message(role="user", content=(source, PROMPT)),))


Way = Callable[[], object]


def text_of(tokenizer: Any) -> Text:
    """Sentences of some records that are about as long as is wanted, and the beginning of a summary."""
    records = [generate(seed) for seed in range(400)]
    found = {f"- {r.text[a:b].strip()}\n" for r in records for a, b in split(r.text, "sentence")}
    sentences = sorted(found, key=lambda sentence: (len(sentence), sentence))
    output = records[0].summary
    output = output[: encode_output(tokenizer, output).tokens[OUTPUT_TOKENS].start]

    def text(first: int) -> Text:
        return Text(sentences=tuple(sentences[first : first + SENTENCES]), output=output)

    def excess(text: Text) -> int:
        return abs(len(prompt_ids(tokenizer, text.prompt(range(SENTENCES)))) - PROMPT_TOKENS)

    return min(map(text, range(0, len(sentences) - SENTENCES + 1, SENTENCES // 2)), key=excess)


def load() -> tuple[PreTrainedModel, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(str(files("whence.demo") / "model"))
    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).eval(), tokenizer


def plain(model: PreTrainedModel, tokenizer: Any, text: Text) -> Way:
    prompt = prompt_ids(tokenizer, text.prompt(range(SENTENCES)))
    ids = torch.tensor([[*prompt, *encode_output(tokenizer, text.output).ids]])
    return lambda: model(ids, use_cache=False).logits


def whence(method: str, **parameters: object) -> Callable[[PreTrainedModel, Any, Text], Way]:
    """Ours: from the text to the explanation."""

    def way(model: PreTrainedModel, tokenizer: Any, text: Text) -> Way:
        explainer = Explainer(HuggingFace(model, tokenizer))
        source = Source(text="".join(text.sentences), name="record")

        def once() -> object:
            explanation = explainer.explain(
                PROMPT, sources=[source], output=text.output, method=method, target_by="whole", **parameters
            )
            assert len(explanation.segments) == SENTENCES  # noqa: S101
            return explanation

        return once

    return way


def captum(model: PreTrainedModel, tokenizer: Any, text: Text) -> Way:
    from captum.attr import FeatureAblation, LLMAttribution, TextTemplateInput

    attribution = LLMAttribution(FeatureAblation(model), tokenizer)

    def template(*sentences: str) -> str:
        return f"{''.join(sentences)}\n\n{PROMPT}"

    def once() -> object:
        given = TextTemplateInput(template=template, values=list(text.sentences))
        target = torch.tensor(encode_output(tokenizer, text.output).ids)
        return attribution.attribute(given, target=target, forward_in_tokens=False)

    return once


def context_cite(model: PreTrainedModel, tokenizer: Any, text: Text) -> Way:
    with patch("nltk.download"):  # at its import it asks the network for what splits sentences
        from context_cite import ContextCiter, utils
        from context_cite.context_partitioner import BaseContextPartitioner

    utils.tqdm = iter  # type: ignore[attr-defined]

    class Sentences(BaseContextPartitioner):
        """Those given."""

        num_sources = SENTENCES

        def split_context(self) -> None:
            """They are split."""

        def get_source(self, index: int) -> str:
            """One of them."""
            return text.sentences[index]

        def get_context(self, mask: Any = None) -> str:
            """Those that the mask keeps."""
            kept = [True] * SENTENCES if mask is None else mask
            return "".join(s for s, keep in zip(text.sentences, kept, strict=True) if keep)

    def once() -> object:
        context = "".join(text.sentences)
        citer = ContextCiter(
            model,
            tokenizer,
            context,
            PROMPT,
            num_ablations=ABLATIONS,
            ablation_keep_prob=KEPT,
            partitioner=Sentences(context),
            prompt_template="{context}\n\n{query}",
        )
        prompt = citer._get_prompt_ids(return_prompt=True)[1]
        citer._cache["output"] = prompt + text.output  # given, not generated
        return citer.get_attributions(verbose=False)

    return once


WAYS: dict[str, Callable[[PreTrainedModel, Any, Text], Way]] = {
    "plain": plain,
    "leave_one_out": whence("leave_one_out"),
    "lasso": whence("lasso", masks=ABLATIONS, keep=KEPT, stop_early=False),
    "Captum": captum,
    "ContextCite": context_cite,
}
PEERS = ("Captum", "ContextCite")
INSTALL = "not installed: pip install 'whence[bench]'"


def measure(rounds: int) -> list[dict[str, Any]]:
    """One row of figures for each way; all in a worker thread, as ours is: malloc treats those alike."""
    model, tokenizer = load()
    text = text_of(tokenizer)
    ways: dict[str, Way] = {}
    for name, way in WAYS.items():
        try:
            ways[name] = way(model, tokenizer, text)
        except ImportError:
            if name not in PEERS:
                raise
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with ThreadPoolExecutor(1) as worker:

        def turn(name: str) -> float:
            began = time.process_time()
            worker.submit(torch.no_grad()(ways[name])).result()
            return time.process_time() - began

        for name in ways:
            turn(name)
        for _ in track(range(rounds), description="rounds", disable=not sys.stderr.isatty()):
            for name in list(ways)[1:]:
                seconds["plain"] += [turn("plain") for _ in range(3)]
                seconds[name].append(turn(name))
    middle = {name: median(own) for name, own in seconds.items()}
    return [
        {"way": name, "cpu_seconds": middle[name], "cpu_ratio": middle[name] / middle["plain"]}
        if name in middle
        else {"way": name, "skipped": INSTALL}
        for name in WAYS
    ]


def line(row: dict[str, Any]) -> str:
    if "skipped" in row:
        return f"{row['way']:14}  left out: {row['skipped']}"
    return f"{row['way']:14}  {row['cpu_seconds']:11.3f}  {row['cpu_ratio']:9.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # of a peer's old names
    warnings.filterwarnings("ignore", message="CUDA is not available")  # which a peer asks for anyway
    rows = measure(arguments.rounds)
    ratios = {row["way"]: row.get("cpu_ratio") for row in rows}
    if arguments.json:
        print(json.dumps(rows))
    else:
        print(f"{'way':14}  CPU seconds  CPU/plain")
        print(*map(line, rows), sep="\n")
        print(
            "to a plain forward:",
            ", ".join(f"{way} {ratios[way]:.1f} (aim {aim})" for way, aim in AIMS.items()),
        )
    if arguments.check and any(ratios[way] > aim for way, aim in AIMS.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
