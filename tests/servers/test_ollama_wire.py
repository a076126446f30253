"""The server in Ollama's place: what its own client makes of it, and what it forces the model to write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from gguf import GGUFReader
from tests.servers import ollama_store as store
from tests.servers.faults import Fault, Kind
from tests.servers.ollama import OllamaServer
from tests.servers.ollama_answers import THOUGHT
from tests.servers.ollama_errors import NO_SHIFT, QUEUE_FULL, STOPPED, STOPPED_MID_STREAM, TOO_LONG
from tests.servers.ollama_runner import runner

from whence.demo.records import PROMPT

NOTE = "The patient is allergic to latex. The weather was fine.\nStarted on apixaban."
ASKED = f'<source name="record">\n{NOTE}\n</source>\n\n{PROMPT}'
MESSAGES = [{"role": "user", "content": ASKED}]
GREEDY = {"temperature": 0, "num_predict": 60}
LONG = [{"role": "user", "content": "word " * 2000}]


@pytest.fixture(scope="module")
def running() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture
def server(running: OllamaServer) -> OllamaServer:
    running.forget()
    return running


@pytest.fixture
def client(server: OllamaServer) -> Iterator[ollama.Client]:
    client = ollama.Client(server.url)
    yield client
    client._client.close()


def post(server: OllamaServer, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/api/{path}", json=body, timeout=60)


def chat(server: OllamaServer, **body: Any) -> dict[str, Any]:
    given = {"model": "demo", "messages": MESSAGES, "stream": False, "options": GREEDY, **body}
    response = post(server, "chat", **given)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refused(server: OllamaServer, path: str = "chat", **body: Any) -> tuple[int, str]:
    given = {"messages": MESSAGES} if path == "chat" else {"prompt": "Say it."} if path == "generate" else {}
    response = post(server, path, **{"model": "demo", **given, **body})
    assert set(response.json()) <= {"error", "signin_url"}
    return response.status_code, response.json()["error"]


def test_the_client_finds_the_models(server: OllamaServer, client: ollama.Client) -> None:
    assert httpx.get(server.url).text == "Ollama is running"
    assert httpx.head(server.url).status_code == 200
    assert httpx.get(f"{server.url}/api/version").json() == {"version": "0.33.0"}
    assert httpx.get(f"{server.url}/nowhere").text == "404 page not found"
    listed = {model.model: model for model in client.list().models}
    assert {"demo:latest", *store.QUANTIZED.values(), store.FROM_HUGGING_FACE, store.CLOUD} < set(listed)
    described = [listed[name].details for name in ("demo:latest", "demo:q8_0", "demo:q4_0")]
    assert [one and one.quantization_level for one in described] == ["F32", "Q8_0", "Q4_0"]
    assert not client.ps().models
    client.chat("demo", MESSAGES, options=GREEDY, keep_alive="2m")
    (loaded,) = client.ps().models
    assert (loaded.model, loaded.digest) == ("demo:latest", listed["demo:latest"].digest)
    assert client.chat("demo", [], keep_alive=0).done_reason == "unload"
    assert not client.ps().models
    assert client.generate("demo").done_reason == "load"
    assert len(client.ps().models) == 1


def test_the_store_is_laid_out_as_ollama_does(server: OllamaServer, client: ollama.Client) -> None:
    for path in server.store.joinpath("blobs").iterdir():
        assert path.name == f"sha256-{sha256(path.read_bytes()).hexdigest()}"
    for listed in client.list().models:
        assert listed.model is not None
        manifest_path = server.store / store.path_of(listed.model)
        assert sha256(manifest_path.read_bytes()).hexdigest() == listed.digest
        manifest = json.loads(manifest_path.read_bytes())
        for layer in [manifest["config"], *manifest["layers"]]:
            blob = server.store / "blobs" / layer["digest"].replace(":", "-")
            assert blob.stat().st_size == layer["size"]
    assert store.path_of("demo") == Path("manifests/registry.ollama.ai/library/demo/latest")
    assert store.path_of("hf.co/a/b:Q8_0") == Path("manifests/hf.co/a/b/Q8_0")


def test_show_names_the_blob_and_what_it_is(server: OllamaServer, client: ollama.Client) -> None:
    shown = client.show("DEMO:Latest")
    assert shown.modelfile is not None
    assert shown.modelinfo is not None
    (path,) = [line[5:] for line in shown.modelfile.splitlines() if line.startswith("FROM ")]
    assert Path(path).is_absolute()
    assert Path(path).read_bytes()[:4] == b"GGUF"
    assert shown.template == store.TEMPLATE
    assert shown.capabilities == ["completion"]
    assert (
        GGUFReader(path).fields["llama.context_length"].contents() == shown.modelinfo["llama.context_length"]
    )
    shows = {name: post(server, "show", model=name).json() for name in (store.BRIEFED, store.CLOUD)}
    assert shows[store.BRIEFED]["system"] == store.SYSTEM
    assert shows[store.CLOUD]["remote_model"] == "gpt-oss:120b"
    assert "ADAPTER /" in post(server, "show", model=store.ADAPTED).json()["modelfile"]
    assert "clip.has_vision_encoder" in post(server, "show", model=store.SEEING).json()["projector_info"]
    assert (
        f"FROM {store.SAFETENSORS}:latest"
        in post(server, "show", model=store.SAFETENSORS).json()["modelfile"]
    )


def test_a_stream_says_what_the_whole_answer_says(server: OllamaServer, client: ollama.Client) -> None:
    whole = client.chat("demo", MESSAGES, options=GREEDY, logprobs=True, top_logprobs=2)
    chunks = list(client.chat("demo", MESSAGES, options=GREEDY, stream=True, logprobs=True))
    assert whole.message.content == "".join(chunk.message.content or "" for chunk in chunks)
    assert "Allergic to latex." in (whole.message.content or "")
    assert whole.logprobs
    assert whole.eval_count == len(whole.logprobs) + (whole.done_reason == "stop")
    assert [len(entry.top_logprobs or ()) for entry in whole.logprobs] == [2] * len(whole.logprobs)
    streamed = [entry for chunk in chunks for entry in chunk.logprobs or ()]
    assert [(one.token, one.logprob) for one in streamed] == [
        (one.token, one.logprob) for one in whole.logprobs
    ]
    assert not any(entry.top_logprobs for entry in streamed)
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    raw = client.generate("demo", runner().render(MESSAGES), raw=True, options=GREEDY)
    assert raw.response == whole.message.content
    assert raw.context is None
    assert raw.prompt_eval_count == chunks[-1].prompt_eval_count
    told = client.generate("demo", ASKED, options=GREEDY)
    assert told.response == raw.response
    assert told.context
    assert server.calls == 4
    assert server.input_tokens == 4 * (raw.prompt_eval_count or 0)


def test_the_asynchronous_client_is_understood_as_well(server: OllamaServer) -> None:
    asyncio.run(asked_asynchronously(server))


async def asked_asynchronously(server: OllamaServer) -> None:
    client = ollama.AsyncClient(server.url)
    answer = await client.chat("demo", MESSAGES, options={**GREEDY, "num_predict": 3})
    assert (answer.done_reason, answer.eval_count) == ("length", 3)
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as caught:
        await client.chat("nope", MESSAGES)
    assert caught.value.status_code == 404
    await client._client.aclose()


def test_a_prompt_is_rendered_only_where_that_is_asked(server: OllamaServer) -> None:
    expected = f"<|begin|><|user|>{ASKED}<|end|><|assistant|>"
    told = chat(server, _debug_render_only=True)
    assert told["_debug_info"] == {"rendered_template": expected}
    assert not told["done"]
    generated = post(server, "generate", model="demo", prompt=ASKED, _debug_render_only=True)
    assert generated.json()["_debug_info"]["rendered_template"] == expected
    briefed = chat(server, model=store.BRIEFED, _debug_render_only=True)["_debug_info"]["rendered_template"]
    assert briefed == expected.replace("<|user|>", f"<|system|>{store.SYSTEM}<|end|><|user|>")
    own = [{"role": "system", "content": "Mine."}, *MESSAGES]
    replaced = chat(server, model=store.BRIEFED, messages=own, _debug_render_only=True)
    assert "<|system|>Mine.<|end|>" in replaced["_debug_info"]["rendered_template"]
    assert store.SYSTEM not in replaced["_debug_info"]["rendered_template"]
    assert server.calls == 0


def test_forced_output_over_the_wire(server: OllamaServer) -> None:
    text = "🏥 患者对乳胶过敏。 é"
    answer = chat(server, format={"const": text}, logprobs=True, top_logprobs=20, think=False)
    assert json.loads(answer["message"]["content"]) == text
    entries = answer["logprobs"]
    assert "".join(entry["token"] for entry in entries) == answer["message"]["content"]
    assert answer["eval_count"] > len(entries) + 1, "tokens that end inside a character have no entry"
    for entry in entries:
        assert bytes(entry["bytes"]).decode() == entry["token"]
        assert len(entry["top_logprobs"]) == 20
        assert all(bytes(top.get("bytes", [])).decode() == top["token"] for top in entry["top_logprobs"])
    assert any("\ufffd" in top["token"] for entry in entries for top in entry["top_logprobs"])
    options = {**GREEDY, "num_predict": 4}
    cut = chat(server, format={"const": text}, options=options)
    assert (cut["done_reason"], cut["eval_count"]) == ("length", 4)
    assert "logprobs" not in cut
    chat(server, options={**GREEDY, "unheard_of": "x"}, format="")
    assert refused(server, format="yaml")[0] == 500


def test_a_drawn_answer_is_drawn_by_its_seed(server: OllamaServer) -> None:
    def drawn(**options: Any) -> Any:
        given = {"temperature": 2.0, "num_predict": 8, **options}
        return chat(server, options=given)["message"]["content"]

    assert drawn(seed=1) == drawn(seed=1)
    assert len({drawn(seed=seed) for seed in range(5)}) > 1
    assert drawn(seed=1, stop=[drawn(seed=1)[3]]) == drawn(seed=1).partition(drawn(seed=1)[3])[0]


def test_what_is_too_long_is_cut_in_silence_unless_that_is_forbidden(server: OllamaServer) -> None:
    turns = [{"role": "system", "content": "Keep."}]
    turns += [{"role": "user", "content": f"{number}. {NOTE}"} for number in range(40)]
    cut = chat(server, messages=turns, _debug_render_only=True, options={"num_ctx": 100})
    rendered = cut["_debug_info"]["rendered_template"]
    assert rendered.startswith("<|begin|><|system|>Keep.<|end|><|user|>3")
    assert rendered.endswith("39. " + NOTE + "<|end|><|assistant|>")
    whole = chat(server, messages=turns, _debug_render_only=True, truncate=False)
    assert "0. The patient" in whole["_debug_info"]["rendered_template"]
    long: dict[str, Any] = {"messages": LONG, "options": {"num_ctx": 64}}
    assert chat(server, **long)["prompt_eval_count"] == 64 - (64 - 4) // 2
    assert refused(server, **long, shift=False) == (400, NO_SHIFT)
    status, told = refused(server, **long, truncate=False)
    nested = json.loads(told)["error"]
    assert (status, nested["type"], nested["n_ctx"]) == (400, "exceed_context_size_error", 64)
    tokens = len(runner().encode(runner().render(LONG)))
    assert nested["n_prompt_tokens"] == tokens
    assert f"request ({tokens} tokens) exceeds the available context size (64 tokens)" in nested["message"]
    assert chat(server, options={"num_ctx": 10**6, "num_predict": 1})["done_reason"] == "length"


def test_models_that_think_think_unless_told_not_to(server: OllamaServer) -> None:
    thought = chat(server, model=store.THINKING, logprobs=True)
    assert thought["message"]["thinking"] == THOUGHT
    assert thought["message"]["content"]
    told = "".join(entry["token"] for entry in thought["logprobs"])
    assert told.startswith(THOUGHT[:2])
    assert told.endswith(thought["message"]["content"])
    plain = chat(server, model=store.THINKING, think=False)
    assert "thinking" not in plain["message"]
    assert plain["message"]["content"]
    assert refused(server, think=True) == (400, '"demo" does not support thinking')
    assert refused(server, think="loud")[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("chat", {"model": "nope"}, 404, "model 'nope' not found"),
        ("generate", {"model": "nope"}, 404, "model 'nope' not found"),
        ("show", {"model": "nope"}, 404, "model 'nope:latest' not found"),
        ("chat", {"model": "../../etc"}, 400, "invalid model name"),
        ("chat", {"model": ""}, 400, "model is required"),
        ("chat", {"model": store.EMBEDDING}, 400, '"embedder" does not support chat'),
        ("generate", {"model": store.EMBEDDING}, 400, '"embedder" does not support generate'),
        ("chat", {"model": store.CLOUD}, 401, "unauthorized"),
        ("chat", {"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
        ("chat", {"options": {"num_ctx": "x"}}, 500, 'option "num_ctx" must be of type integer'),
        ("chat", {"options": {"temperature": True}}, 500, 'option "temperature" must be of type float32'),
        (
            "chat",
            {"messages": "x"},
            400,
            "json: cannot unmarshal string into Go struct field ChatRequest.messages",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_ollama_s_words(
    server: OllamaServer, path: str, body: dict[str, Any], status: int, told: str
) -> None:
    assert refused(server, path, **body) == (status, told)


def test_an_older_version_ignores_what_it_does_not_know() -> None:
    long: dict[str, Any] = {"messages": LONG, "truncate": False}
    with OllamaServer(version="0.12.10") as older:
        assert "logprobs" not in chat(older, logprobs=True, top_logprobs=99)
        assert "_debug_info" in chat(older, _debug_render_only=True)
        assert refused(older, **long) == (400, TOO_LONG)
    with OllamaServer(version="0.11.4") as oldest:
        assert "_debug_info" not in chat(oldest, _debug_render_only=True)
        assert chat(oldest, **long, options={"num_predict": 5})["prompt_eval_count"] < 1024
    with OllamaServer(debug_render=False, context_tokens=200) as blind:
        assert "_debug_info" not in chat(blind, _debug_render_only=True)
        assert post(blind, "show", model="demo").json()["model_info"]["llama.context_length"] == 200
        assert refused(blind, **long)[1].count("(200 tokens)") == 1


def test_calls_queue_and_a_full_queue_is_busy() -> None:
    with OllamaServer(latency_seconds=0.2, queue=2) as server, ThreadPoolExecutor(6) as pool:
        bodies = [{"model": "demo", "messages": MESSAGES, "stream": False, "options": GREEDY}] * 6
        found = list(pool.map(lambda body: post(server, "chat", **body), bodies))
        assert sorted(one.status_code for one in found) == [200] * 3 + [503] * 3
        assert {one.json()["error"] for one in found if one.status_code == 503} == {QUEUE_FULL}
        assert server.calls == 6
        assert 1 < server.most_in_flight <= 6
    with OllamaServer(parallel=3) as server, ThreadPoolExecutor(3) as pool:
        assert len({one["eval_count"] for one in pool.map(lambda _: chat(server), range(6))}) == 1


@pytest.mark.parametrize(
    ("kind", "status", "told"),
    [
        ("server_error", 500, STOPPED),
        ("overloaded", 503, QUEUE_FULL),
        ("runner_crash", 500, "llama-server process has terminated: exit status 2"),
        ("rate_limit", 429, "too many requests"),
    ],
)
def test_a_fault_is_met_once(server: OllamaServer, kind: Kind, status: int, told: str) -> None:
    server.faults.append(Fault(kind=kind, retry_after_seconds=2.0))
    chat(server, _debug_render_only=True)  # reads nothing, and meets nothing
    response = post(server, "chat", model="demo", messages=MESSAGES, stream=False)
    assert (response.status_code, response.json()) == (status, {"error": told})
    assert response.headers["retry-after"] == "2"
    chat(server)
    assert (server.calls, server.faults) == (2, type(server.faults)())


def test_faults_that_spoil_an_answer(server: OllamaServer, client: ollama.Client) -> None:
    def met(kind: Kind, **body: Any) -> dict[str, Any]:
        server.faults.append(Fault(kind=kind))
        return chat(server, logprobs=True, **body)

    usual = chat(server, logprobs=True)
    assert "logprobs" not in met("no_logprobs")
    assert [len(met(kind)["logprobs"]) for kind in ("fewer_logprobs", "more_logprobs")] == [
        len(usual["logprobs"]) - 1,
        len(usual["logprobs"]) + 1,
    ]
    assert met("no_text")["message"]["content"] == ""
    assert met("max_tokens")["done_reason"] == "length"
    only = met("thinking_only")
    assert (only["message"]["thinking"], only["message"]["content"]) == (THOUGHT, "")
    server.faults.append(Fault(kind="context_length"))
    assert "exceed_context_size_error" in refused(server)[1]
    server.faults.append(Fault(kind="malformed_json"))
    with pytest.raises(json.JSONDecodeError):
        chat(server)
    server.faults.append(Fault(kind="cut_connection"))
    with pytest.raises(httpx.RemoteProtocolError):
        chat(server)
    server.faults.append(Fault(kind="server_error", mid_stream=True))
    shown: list[ollama.ChatResponse] = []
    with pytest.raises(ollama.ResponseError, match=STOPPED_MID_STREAM):
        shown.extend(client.chat("demo", MESSAGES, options=GREEDY, stream=True))
    assert shown
    assert not any(chunk.done for chunk in shown)


def test_a_model_that_repeats_itself_is_given_up_without_an_end(server: OllamaServer) -> None:
    messages = [{"role": "user", "content": "Summarise: The patient is allergic to latex."}]
    answer = chat(server, messages=messages, options=GREEDY)
    assert not answer["done"]
    assert "eval_count" not in answer
    words = answer["message"]["content"].split()
    assert words[-31:] == words[-1:] * 31
