"""llama.cpp's own server, in a process of its own: a file that it dislikes ends the process.

Its cache of keys and values is float32 and its attention the plain one, so what differs is no rounding.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch

TIMEOUT_SECONDS = 60.0
PRINTABLE = 45
"""A token that is generated instead of any other: for bytes that are no character, nothing is told."""

# Each line that it reads is the path of a file, which it then serves instead of the last.
PROGRAM = """
import sys
import xllamacpp

for line in sys.stdin:
    params = xllamacpp.CommonParams()
    params.model.path = line.rstrip("\\n")
    params.n_ctx = 512
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.warmup = False
    params.verbosity = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = None
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
"""


def absent() -> str:
    """Why this peer cannot be asked, or nothing."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "the package xllamacpp is not installed, which brings llama.cpp"
    return ""


class LlamaCpp:
    """A server that runs, with the file that it was given last."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        # It closes connections that wait, and may do so just as one is used.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, limits=fresh)
        self._url = ""

    def load(self, path: Path) -> None:
        """Serve this file. Raises RuntimeError where llama.cpp does not accept it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        told = (line.strip() for line in self._process.stdout if line.startswith("http://"))
        self._url = next(told, "")
        if not self._url:
            raise RuntimeError(f"llama.cpp does not load {path.name}")

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, with the beginning that the file wants; control tokens in it count."""
        body = {"content": text, "add_special": True, "parse_special": True}
        tokens: list[int] = self._post("/tokenize", body)["tokens"]
        return tokens

    def log_probabilities(self, ids: Sequence[int], vocabulary: int) -> torch.Tensor:
        """Of each token after these, in nats: (vocabulary,)."""
        body = {
            "prompt": list(ids),
            "n_predict": 1,
            "n_probs": vocabulary,
            "temperature": 0,
            "cache_prompt": False,
            "logit_bias": [[PRINTABLE, 1000.0]],  # what is told is told before it
        }
        told = self._post("/completion", body)["completion_probabilities"][0]["top_logprobs"]
        values = torch.full((vocabulary,), float("nan"))
        for entry in told:
            values[entry["id"]] = entry["logprob"]
        return values

    def stream(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """What comes of a completion, piece by piece."""
        with self._client.stream("POST", f"{self._url}/completion", json={**body, "stream": True}) as told:
            told.raise_for_status()
            lines = b"".join(told.iter_bytes()).split(b"\n")  # httpx would also part them at U+2028
        return [json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: {")]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._client.post(self._url + path, json=body).raise_for_status().json()

    def close(self) -> None:
        """Let go of the connections, and end the process."""
        self._client.close()
        self._process.kill()


@contextmanager
def running() -> Iterator[LlamaCpp]:
    """llama.cpp, without a file yet."""
    with subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        server = LlamaCpp(process)
        try:
            yield server
        finally:
            server.close()
