"""What does attention cost beyond the forward pass? A random Llama of about 100M parameters, one thread.

A prompt of synthetic records and a given output of 64 tokens are explained in each of these ways:

- plain: one forward pass over prompt and output under sdpa, with the logits of the output alone;
- attention, rollout, value-weighted: `Explainer.explain`, from tokenising to the result;
- eager: a forward pass under eager attention with `output_attentions=True`, the output's rows averaged;
- BertViz: its recipe up to the tensor that its views draw, without drawing; then the same rows averaged;
- inseq: `attribute` with its attention method, averaged over layers and heads by its `aggregate`.

CPU: seconds of process time, the least of some rounds in which all take turns, so that what else the machine
does hits all alike. Memory: the peak above what was resident before, each way in a process of its own. Both
after one explanation of a short prompt, which loads and examines. A peer that is not installed, or needs more
memory than there is, is left out, with the reason. Needs Linux: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.utils import logging

from whence import Explainer
from whence.demo.records import PROMPT, generate
from whence.providers.huggingface import HuggingFace
from whence.providers.huggingface.encoding import encode_output, encode_prompt
from whence.providers.prompt import build_prompt

OUTPUT_TOKENS = 64
WARM_UP_TOKENS = 256
TOKENS = (512, 1024, 2048, 4096)
MB, GB = 1 << 20, 1 << 30
LIMIT = 12 * GB
"""What one way may need above the model, so that the benchmark also ends on a small machine."""
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h

AIM_TOKENS = 2048
AIMS = {
    ("attention", "cpu_ratio"): 1.10,
    ("attention", "memory_ratio"): 2.50,
    ("rollout", "cpu_ratio"): 1.35,
}


@dataclass(frozen=True, kw_only=True)
class Text:
    """What is explained. `ids`: of prompt and output, (1, tokens), of which the prompt has `prompt_tokens`.

    `prompt`, `whole`: the ids as text, markup and all, for peers that tokenise for themselves.
    """

    source: str
    output: str
    ids: Tensor
    prompt_tokens: int
    prompt: str
    whole: str

    @property
    def rows(self) -> slice:
        """The positions that predict the output."""
        return slice(self.prompt_tokens - 1, self.ids.shape[1] - 1)


Way = Callable[[Text], object]


def text_of(tokenizer: Any, tokens: int) -> Text:
    """Records until the prompt has `tokens` tokens, and the beginning of their summaries."""
    source = output = ""
    for seed in count():
        record = generate(seed)
        source, output = f"{source}{record.text}\n\n", f"{output}{record.summary} "
        prompt = encode_prompt(tokenizer, build_prompt(PROMPT, sources=[source]))
        if len(prompt.ids) > tokens and len(encode_output(tokenizer, output).ids) > OUTPUT_TOKENS:
            break
    own = [token for token in prompt.tokens if token.part == "source"]
    source = source[: own[tokens - len(prompt.ids)].start]
    output = output[: encode_output(tokenizer, output).tokens[OUTPUT_TOKENS].start]
    prompt = encode_prompt(tokenizer, build_prompt(PROMPT, sources=[source]))
    ids = [*prompt.ids, *encode_output(tokenizer, output).ids]
    return Text(
        source=source,
        output=output,
        ids=torch.tensor([ids]),
        prompt_tokens=len(prompt.ids),
        prompt=tokenizer.decode(prompt.ids),
        whole=tokenizer.decode(ids),
    )


def load() -> tuple[PreTrainedModel, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(str(files("whence.demo") / "model"))
    config = LlamaConfig(
        vocab_size=24_000,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    tokenizer.model_max_length = config.max_position_embeddings
    return LlamaForCausalLM(config).eval(), tokenizer


def plain(model: PreTrainedModel, tokenizer: Any) -> Way:
    def once(text: Text) -> Tensor:
        model.set_attn_implementation("sdpa")
        return model(text.ids, use_cache=False, logits_to_keep=OUTPUT_TOKENS + 1).logits

    return once


def whence(method: str) -> Callable[[PreTrainedModel, Any], Way]:
    def way(model: PreTrainedModel, tokenizer: Any) -> Way:
        explainer = Explainer(HuggingFace(model, tokenizer))

        def once(text: Text) -> object:
            model.set_attn_implementation("sdpa")
            return explainer.explain(PROMPT, sources=[text.source], output=text.output, method=method)

        return once

    return way


def eager(model: PreTrainedModel, tokenizer: Any) -> Way:
    def once(text: Text) -> Tensor:
        model.set_attn_implementation("eager")
        output = model(text.ids, use_cache=False, logits_to_keep=OUTPUT_TOKENS + 1, output_attentions=True)
        return torch.stack([layer[0, :, text.rows].mean(dim=0) for layer in output.attentions]).mean(dim=0)

    return once


def bertviz(model: PreTrainedModel, tokenizer: Any) -> Way:
    from bertviz.util import format_attention

    def once(text: Text) -> Tensor:
        model.set_attn_implementation("eager")
        ids = tokenizer.encode(text.whole, return_tensors="pt", add_special_tokens=False)
        attention = format_attention(model.base_model(ids, output_attentions=True).attentions)
        return attention[:, :, text.rows].mean(dim=(0, 1))

    return once


def inseq(model: PreTrainedModel, tokenizer: Any) -> Way:
    from inseq import load_model

    wrapped = load_model(model, "attention", tokenizer=tokenizer)

    def once(text: Text) -> object:
        model.set_attn_implementation("eager")
        return wrapped.attribute(text.prompt, text.whole, show_progress=False).aggregate()

    return once


WAYS: dict[str, Callable[[PreTrainedModel, Any], Way]] = {
    "plain": plain,
    "attention": whence("attention"),
    "rollout": whence("attention_rollout"),
    "value-weighted": whence("attention_value_weighted"),
    "eager": eager,
    "BertViz": bertviz,
    "inseq": inseq,
}
PEERS = ("eager", "BertViz", "inseq")
INSTALL = "not installed: pip install 'whence[bench]'"


@torch.no_grad()
def extra_memory(name: str, tokens: int) -> int:
    """Bytes at the peak of one explanation above those before it. Raises MemoryError above the limit."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, 64 * 1024)  # else malloc keeps what is freed, and the peak hides in it
    model, tokenizer = load()
    once, text = WAYS[name](model, tokenizer), text_of(tokenizer, tokens)
    once(text_of(tokenizer, WARM_UP_TOKENS))
    gc.collect()
    libc.malloc_trim(0)
    limit = min(LIMIT, kilobytes("/proc/meminfo", "MemAvailable") * 1024)
    whole = kilobytes("/proc/self/status", "VmSize") * 1024 + limit
    resource.setrlimit(resource.RLIMIT_AS, (whole, whole))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = kilobytes("/proc/self/status", "VmRSS")
    try:
        once(text)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):
            raise
        raise MemoryError(f"needs more than {limit / GB:.0f} GB") from error
    return (kilobytes("/proc/self/status", "VmHWM") - before) * 1024


def kilobytes(file: str, field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB$", Path(file).read_text(), re.MULTILINE)
    assert found is not None  # noqa: S101 - Linux has both
    return int(found[1])


def cpu_seconds(names: list[str], tokens: int, rounds: int) -> dict[str, float]:
    """The least that each way took; all in worker threads, as `explain` is: malloc treats those alike."""
    model, tokenizer = load()
    text, short = text_of(tokenizer, tokens), text_of(tokenizer, WARM_UP_TOKENS)
    ways = {name: WAYS[name](model, tokenizer) for name in names}
    least = dict.fromkeys(names, float("inf"))
    with ThreadPoolExecutor(1) as worker:
        for once in ways.values():
            worker.submit(torch.no_grad()(once), short).result()
        for _ in range(rounds):
            for name, once in ways.items():
                began = time.process_time()
                worker.submit(torch.no_grad()(once), text).result()
                least[name] = min(least[name], time.process_time() - began)
    return least


def alone(work: Callable[..., Any], *arguments: object) -> Any:
    """`work` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def measure(tokens: int, rounds: int) -> list[dict[str, Any]]:
    """One row of figures for each way."""
    memory: dict[str, int] = {}
    skipped: dict[str, str] = {}
    for name in WAYS:
        try:
            memory[name] = alone(extra_memory, name, tokens)
        except Exception as error:  # peers raise whatever they meet, and may be killed for their memory
            if name not in PEERS:
                raise
            missing = isinstance(error, ImportError)
            skipped[name] = INSTALL if missing else str(error).partition("\n")[0]
    seconds = alone(cpu_seconds, list(memory), tokens, rounds)
    return [
        {"tokens": tokens, "way": name, "skipped": skipped[name]}
        if name in skipped
        else {
            "tokens": tokens,
            "way": name,
            "cpu_seconds": seconds[name],
            "cpu_ratio": seconds[name] / seconds["plain"],
            "extra_mb": memory[name] / MB,
            "memory_ratio": memory[name] / memory["plain"],
        }
        for name in WAYS
    ]


def line(row: dict[str, Any]) -> str:
    head = f"{row['tokens']:6}  {row['way']:14}"
    if "skipped" in row:
        return f"{head}  left out: {row['skipped']}"
    return f"{head}  {row['cpu_ratio']:9.2f}  {row['extra_mb']:9.0f}  {row['memory_ratio']:12.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", default=",".join(map(str, TOKENS)), help="lengths of the prompt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    arguments = parser.parse_args()
    lengths = [int(tokens) for tokens in arguments.tokens.split(",")]
    if arguments.check and AIM_TOKENS not in lengths:
        parser.error(f"the aims are for a prompt of {AIM_TOKENS} tokens")
    rows: list[dict[str, Any]] = []
    for tokens in track(lengths, description="prompts", disable=not sys.stderr.isatty()):
        rows += measure(tokens, arguments.rounds)
    found = {(row["way"], name): row[name] for row in rows if row["tokens"] == AIM_TOKENS for name in row}
    if arguments.json:
        print(json.dumps(rows))
    else:
        print(f"tokens  {'way':14}  CPU/plain   extra MB  memory/plain")
        print(*map(line, rows), sep="\n")
        if AIM_TOKENS in lengths:
            ratios = (f"{way} {name} {found[way, name]:.2f} (aim {aim})" for (way, name), aim in AIMS.items())
            print(f"at {AIM_TOKENS}, to a plain forward: {', '.join(ratios)}")
    if arguments.check and any(found[key] > aim for key, aim in AIMS.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
