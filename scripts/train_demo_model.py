"""Train the bundled model: a small Llama that summarises synthetic discharge records.

Fixed seed, two CPU cores, about an hour. Interrupted, it goes on from its last checkpoint; the data of a
batch depends on its number alone, so a resumed run sees what an unbroken one would have seen.

The summary alone does not make a small model look things up: it learns to guess. Induction heads, which
copy what followed an earlier occurrence (Olsson et al. 2022), form when some rows are random tokens said
twice, and when the record itself is predicted with a small weight.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from whence.demo.records import HABIT, MAX_SENTENCES, MIN_SENTENCES, PROMPT, Record, generate
from whence.providers.prompt import Message, Prompt, Source

SPECIALS = ("<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message['role'] not in ['system', 'user', 'assistant'] -%}
{{- raise_exception('the roles are system, user and assistant, not ' + message['role']) -}}
{%- endif -%}
{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"""
VOCABULARY_SIZE = 2048
CONTEXT_TOKENS = 1024

FIRST_TRAINING_SEED = 1_000_000
"""Records with a smaller seed are never trained on."""
PROMPTS = (
    PROMPT,
    PROMPT,
    PROMPT,
    "Summarise the record.",
    "Write a discharge summary.",
    "What matters in this record?",
)
SOURCE_NAMES = ("record", "source 1", "note", "admission note", "discharge note", "letter", "stdin")
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`ids`, `labels`: (rows, tokens). `record`: where the next token belongs to the prompt."""

    ids: Tensor
    labels: Tensor
    record: Tensor


def train_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE over records and summaries: foreign text falls back to its bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    records = [generate(FIRST_TRAINING_SEED + i) for i in range(4000)]
    texts = [f'<source name="{name}">\n</source>\n\n{prompt}' for name in SOURCE_NAMES for prompt in PROMPTS]
    texts += [text for record in records for text in (record.text, " " + record.summary, record.summary)]
    texts += [HABIT, *(record.without(range(0, 40, 2)).summary for record in records)]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A randomly initialised model; the architecture is the small end of what learns to look things up."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=4,
            num_attention_heads=8,
            max_position_embeddings=CONTEXT_TOKENS,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def user_message(record: Record, rng: random.Random) -> str:
    """The record as one source or two, under varying names and prompts."""
    texts = [record.text]
    breaks = [i for i, character in enumerate(record.text) if character == "\n"]
    if breaks and rng.random() < 0.2:
        at = rng.choice(breaks)
        texts = [record.text[:at], record.text[at + 1 :]]
    names = rng.sample(SOURCE_NAMES, len(texts))
    sources = [Source(text=text, name=name) for name, text in zip(names, texts, strict=True)]
    message = Message(role="user", content=(*sources, rng.choice(PROMPTS)))
    return Prompt(messages=(message,)).turns()[0].text


def make_batch(
    tokenizer: PreTrainedTokenizerFast, seeds: range, *, sentences: tuple[int, int], ablated: float
) -> Batch:
    """Rows of one length; a share `ablated` of them with lines removed, summarised as what is left."""
    rng = random.Random(seeds.start)
    length = rng.randint(*sentences)
    prompts: list[str] = []
    answers: list[str] = []
    for seed in seeds:
        record = generate(seed, sentences=length)
        if rng.random() < ablated:
            share = rng.uniform(0.0, 0.9)
            record = record.without([i for i in range(len(record.lines)) if rng.random() < share])
        prompts.append(f"<|begin|><|user|>{user_message(record, rng)}<|end|><|assistant|>")
        answers.append(record.summary + "<|end|>")
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    answer_ids = tokenizer(answers, add_special_tokens=False)["input_ids"]
    width = max(len(p) + len(a) for p, a in zip(prompt_ids, answer_ids, strict=True))
    ids = torch.full((len(prompts), width), tokenizer.pad_token_id)
    labels = torch.full_like(ids, IGNORED)
    record_mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, (p, a) in enumerate(zip(prompt_ids, answer_ids, strict=True)):
        ids[row, : len(p) + len(a)] = torch.tensor(p + a)
        labels[row, len(p) - 1 : len(p) - 1 + len(a)] = torch.tensor(a)
        record_mask[row, : len(p) - 1] = True
    return Batch(ids=ids, labels=labels, record=record_mask)


def summary_loss(model: LlamaForCausalLM, batch: Batch, generator: torch.Generator) -> Tensor:
    """Next-token loss on the summary, plus a tenth of it on a quarter of the record's positions."""
    hidden = model.model(input_ids=batch.ids).last_hidden_state
    wanted = batch.labels != IGNORED
    loss = cross_entropy(model.lm_head(hidden[wanted]), batch.labels[wanted])
    sampled = batch.record & (torch.rand(batch.ids.shape, generator=generator) < 0.25)
    following = torch.roll(batch.ids, -1, dims=1)
    return loss + 0.1 * cross_entropy(model.lm_head(hidden[sampled]), following[sampled])


def copy_loss(model: LlamaForCausalLM, generator: torch.Generator, *, rows: int = 16) -> Tensor:
    """Next-token loss on the second half of random tokens said twice: what induction heads solve."""
    length = int(torch.randint(12, 41, (), generator=generator))
    half = torch.randint(len(SPECIALS), model.config.vocab_size, (rows, length), generator=generator)
    ids = torch.cat([half, half], dim=1)
    hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state[:, length - 1 :]
    return cross_entropy(model.lm_head(hidden).flatten(0, 1), half.flatten())


@torch.no_grad()
def share_of_exact_sentences(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, *, records: int = 64
) -> float:
    """Sentences of unseen records whose every token is the most probable one, given the true ones before."""
    exact, total = 0, 0
    for start in range(0, records, 32):
        batch = make_batch(
            tokenizer, range(start, start + 32), sentences=(MIN_SENTENCES, MAX_SENTENCES), ablated=0.0
        )
        hidden = model.model(input_ids=batch.ids).last_hidden_state
        for row in range(len(batch.ids)):
            wanted = batch.labels[row] != IGNORED
            labels = batch.labels[row][wanted]
            right = model.lm_head(hidden[row][wanted]).argmax(-1) == labels
            stop = int(tokenizer(".", add_special_tokens=False)["input_ids"][0])
            ends = [0, *((labels == stop).nonzero().flatten() + 1).tolist()]
            spans = list(itertools.pairwise(ends))
            exact += sum(bool(right[a:b].all()) for a, b in spans)
            total += len(spans)
    return exact / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("src/whence/demo/model"))
    parser.add_argument("--checkpoint", type=Path, default=Path("build/demo_model.pt"))
    parser.add_argument("--batches", type=int, default=4000)
    parser.add_argument("--rows", type=int, default=32, help="records in a batch")
    parser.add_argument("--peak-rate", type=float, default=3e-3)
    parser.add_argument("--copy-batches", type=int, default=1800, help="batches with random copies")
    parser.add_argument("--short-batches", type=int, default=2000, help="batches of short records only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    tokenizer = train_tokenizer()
    model = build_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.peak_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=arguments.peak_rate, total_steps=arguments.batches, pct_start=0.15
    )
    first = 0
    if arguments.checkpoint.exists():
        state = torch.load(arguments.checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = state["batches"]
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)

    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as progress:
        task = progress.add_task("training", total=arguments.batches, completed=first)
        began = time.monotonic()
        for number in range(first, arguments.batches):
            generator = torch.Generator().manual_seed(arguments.seed + number)
            seed = FIRST_TRAINING_SEED * (1 + arguments.seed) + number * arguments.rows
            short = number < arguments.short_batches
            batch = make_batch(
                tokenizer,
                range(seed, seed + arguments.rows),
                sentences=(MIN_SENTENCES, 13 if short else MAX_SENTENCES),
                ablated=0.1 if short else 0.25,
            )
            loss = summary_loss(model, batch, generator)
            if number < arguments.copy_batches:
                loss = loss + 0.5 * copy_loss(model, generator)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.update(task, advance=1, description=f"loss {loss.item():.3f}")
            done = number + 1
            if done % 100 == 0 or done == arguments.batches:
                seconds_per_batch = (time.monotonic() - began) / (done - first)
                exact = share_of_exact_sentences(model, tokenizer)
                progress.console.print(
                    f"batch {done}: loss {loss.item():.4f}, exact sentences {exact:.3f}, "
                    f"{seconds_per_batch:.2f} s a batch",
                    highlight=False,
                )
                partial = arguments.checkpoint.with_suffix(".partial")
                torch.save(
                    {
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "schedule": schedule.state_dict(),
                        "batches": done,
                    },
                    partial,
                )
                partial.replace(arguments.checkpoint)
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
