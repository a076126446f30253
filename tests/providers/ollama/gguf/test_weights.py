"""From a GGUF file to a model: what was written is what is loaded, and what is damaged is refused."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gguf.export import Quantization, bundled_gguf, export
from tests.gguf.tiny import CONFIGS, LARGEST, bundled_tokenizer, ids_of_length, logits, tiny
from transformers import LlamaConfig, PreTrainedModel

from whence.providers.errors import ModelLoadError, UnsupportedError
from whence.providers.ollama.gguf.architectures import configuration_of
from whence.providers.ollama.gguf.header import Header, read_header
from whence.providers.ollama.gguf.weights import load_blob

IDS = ids_of_length(100)
SAME = 1e-5
QUANTIZED: list[tuple[Quantization, float]] = [("F16", 0.002), ("Q8_0", 0.05), ("Q4_0", 0.7)]
"""How far logits lie apart, of their standard deviation; measured for these models: 0.0011, 0.031, 0.45."""


def loaded(path: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return load_blob(path, read_header(path), dtype=dtype, device="cpu")[0]


def furthest(one: PreTrainedModel, other: PreTrainedModel) -> float:
    return (logits(one, IDS) - logits(other, IDS)).abs().max().item()


@pytest.mark.parametrize("name", CONFIGS)
def test_what_was_written_is_loaded(tmp_path: Path, name: str) -> None:
    model = tiny(CONFIGS[name])
    blob = export(model, bundled_tokenizer(), tmp_path / "sha256-0123")  # as Ollama names it
    assert furthest(loaded(blob), model) < SAME


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_gemmas_scale_their_queries_otherwise(tmp_path: Path, name: str) -> None:
    model = tiny(LARGEST[name])
    path = export(model, bundled_tokenizer(), tmp_path / "model.gguf")
    again = loaded(path)
    assert again.config.query_pre_attn_scalar == 8 != again.config.head_dim
    assert furthest(again, model) < SAME


@pytest.mark.parametrize(("quantization", "bound"), QUANTIZED)
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"])
def test_quantized_weights_are_near(
    tmp_path: Path, name: str, quantization: Quantization, bound: float
) -> None:
    model = tiny(CONFIGS[name])
    path = export(model, bundled_tokenizer(), tmp_path / "model.gguf", quantization=quantization)
    given, found = logits(model, IDS), logits(loaded(path), IDS)
    apart = (found - given).pow(2).mean().sqrt() / given.std()
    assert 0 < apart < bound


# What a reader that goes by the weights alone gets wrong: the file says it, so without it the numbers differ.
SILENT: list[tuple[str, str, Callable[[Any], None]]] = [
    ("llama-scaled", "frequencies", lambda model: reset_rotation(model)),
    ("llama-linear", "linear", lambda model: reset_rotation(model)),
    ("qwen2-yarn", "yarn", lambda model: reset_rotation(model)),
    ("phi3-long", "factors", lambda model: reset_rotation(model)),
    ("gemma3", "linear", lambda model: model.model.rotary_emb.full_attention_inv_freq.mul_(8)),
    ("gemma2", "query scale", lambda model: rescale(model, 256)),
    ("gemma2", "window", lambda model: widen(model)),
    ("gemma3", "window", lambda model: widen(model)),
]


def reset_rotation(model: Any) -> None:
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    turned = int(head_dim * config.rope_parameters.get("partial_rotary_factor", 1.0))
    places = torch.arange(0, turned, 2) / turned
    model.model.rotary_emb.inv_freq.copy_(config.rope_parameters["rope_theta"] ** -places)


def rescale(model: Any, scalar: int) -> None:
    for layer in model.model.layers:
        layer.self_attn.scaling = scalar**-0.5


def widen(model: Any) -> None:
    model.config.sliding_window = 512
    for layer in model.model.layers:
        layer.self_attn.sliding_window = None


@pytest.mark.parametrize(
    ("name", "what", "forget"), SILENT, ids=[f"{name}-{what}" for name, what, _ in SILENT]
)
def test_each_of_these_counts(tmp_path: Path, name: str, what: str, forget: Callable[[Any], None]) -> None:
    model = tiny(CONFIGS[name])
    again = loaded(export(model, bundled_tokenizer(), tmp_path / "model.gguf"))
    forget(again)
    assert furthest(again, model) > 0.01, what


def test_a_model_is_as_from_pretrained(tmp_path: Path) -> None:
    model, tokenizer = load_blob(
        path := bundled_gguf(tmp_path, "F32"), read_header(path), dtype=torch.bfloat16, device="cpu"
    )
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not model.training
    assert tokenizer.bos_token_id == 1
    assert tokenizer.decode(tokenizer("Latex, 20 mg")["input_ids"]) == "Latex, 20 mg"
    assert model.generation_config.eos_token_id == 2


# Memory ----------------------------------------------------------------------------------------------------

MEASURE = """
import sys
from pathlib import Path
import torch
from whence.providers.ollama.gguf.architectures import configuration_of
from whence.providers.ollama.gguf.header import read_header
from whence.providers.ollama.gguf.weights import load_blob, memory_bytes

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

small, path = Path(sys.argv[1]), Path(sys.argv[2])
load_blob(small, read_header(small), dtype=torch.float32, device="cpu")  # what the libraries take, once
for dtype in (torch.bfloat16, torch.float32):
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    header = read_header(path)
    model, _ = load_blob(path, header, dtype=dtype, device="cpu")
    print(status("VmHWM") - before, memory_bytes(header, configuration_of(header), dtype))
    del model
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of its memory"
)
def test_the_estimate_bounds_what_loading_takes(tmp_path: Path) -> None:
    wide = {"hidden_size": 1024, "num_hidden_layers": 8, "intermediate_size": 3072, "head_dim": 64}
    config = LlamaConfig(**(CONFIGS["llama"].to_dict() | wide | {"num_attention_heads": 16}))
    large = export(tiny(config), bundled_tokenizer(), tmp_path / "large.gguf", quantization="F16")
    small = export(tiny(CONFIGS["llama"]), bundled_tokenizer(), tmp_path / "small.gguf")
    run = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-c", MEASURE, str(small), str(large)], capture_output=True, text=True, check=True
    )
    for line in run.stdout.splitlines():
        used, estimated = map(int, line.split())
        assert used <= estimated <= 1.5 * used


# Damage ----------------------------------------------------------------------------------------------------


VALUES: list[Any] = [
    *(-1, 0, 1, 3, 7, 2**31 - 1, 2**31, 2**63, 2**64 - 1, True, False),
    *(0.0, -1.0, 1e-30, 3e38, float("nan"), float("inf"), "", "linear", "yarn", "none", "gpt2", "llama"),
    *([], [1], ["a"], [0.5] * 3, [2, 2], ["a", "a"], "\x00\ud800"),
]


@cache
def small() -> tuple[Path, Header]:
    """A file of one layer, and its header."""
    path = Path(tempfile.mkdtemp()) / "small.gguf"
    one = CONFIGS["llama-scaled"].to_dict() | {"num_hidden_layers": 1, "hidden_size": 32, "head_dim": 8}
    model = tiny(type(CONFIGS["llama-scaled"])(**one))
    return path, read_header(export(model, bundled_tokenizer(), path, metadata=EXTRA))


EXTRA = {
    "llama.rope.scaling.type": "linear",
    "llama.rope.scaling.factor": 2.0,
    "llama.rope.scaling.original_context_length": 64,
    "llama.attention.key_length": 8,
    "llama.attention.value_length": 8,
    "tokenizer.ggml.add_eos_token": False,
    "tokenizer.ggml.unknown_token_id": 0,
    "general.type": "model",
}


@settings(max_examples=100)
@given(st.data())
def test_any_value_of_any_key_loads_or_is_refused(data: st.DataObject) -> None:
    path, header = small()
    keys = st.sampled_from(sorted(header.metadata))
    values = st.sampled_from(VALUES) | st.sampled_from(sorted(header.metadata)).map(header.metadata.get)
    changes = data.draw(st.dictionaries(keys, values, min_size=1, max_size=3))
    dropped = data.draw(st.sets(keys, max_size=1))
    changed: dict[str, Any] = {**header.metadata, **changes}
    metadata = {key: value for key, value in changed.items() if key not in dropped}
    forged = replace(header, metadata=metadata)
    with suppress(ModelLoadError, UnsupportedError):
        configuration_of(forged)
    with suppress(ModelLoadError, UnsupportedError):
        model, _ = load_blob(path, forged, dtype=torch.float32, device="cpu")
        logits(model, [1, 20, 30])


@settings(max_examples=80)
@given(st.data())
def test_any_damage_to_the_file_is_refused_or_loads(data: st.DataObject) -> None:
    path, header = small()
    content = bytearray(path.read_bytes())
    vital = [*range(400), *range(header.tensors[0].offset_bytes - 900, header.tensors[0].offset_bytes)]
    for place in data.draw(st.lists(st.sampled_from(vital), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    damaged = path.with_name("damaged.gguf")
    damaged.write_bytes(content)
    with suppress(ModelLoadError, UnsupportedError):
        load_blob(damaged, read_header(damaged), dtype=torch.float32, device="cpu")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model = tiny(CONFIGS["llama"])
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    path = export(model, bundled_tokenizer(), tmp_path / "model.gguf")
    with pytest.raises(ModelLoadError, match=r"blk\.1\.ffn_up\.weight has weights that are no numbers"):
        loaded(path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = export(tiny(CONFIGS["llama"]), bundled_tokenizer(), tmp_path / "model.gguf")
    header = read_header(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(ModelLoadError, match="it ends within"):
        load_blob(path, header, dtype=torch.float32, device="cpu")
    path.unlink()
    with pytest.raises(ModelLoadError, match="No such file"):
        load_blob(path, header, dtype=torch.float32, device="cpu")
