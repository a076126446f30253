"""A model that is offered tools calls them as scripted; the bundled model answers from what they bring."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import grpc  # type: ignore[import-untyped]
import httpx
import ollama
import pytest
from google import genai
from google.cloud import aiplatform_v1 as v1
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from tests.servers.answers import writer
from tests.servers.anthropic import API_KEY, AnthropicServer
from tests.servers.google_credentials import ACCESS_TOKEN, PROJECT
from tests.servers.hosting import Server
from tests.servers.ollama import OllamaServer
from tests.servers.ollama_store import TOOLED
from tests.servers.scripts import ToolCall, next_call
from tests.servers.vertex import VertexServer
from tests.servers.vertex_answers import LOCATION, SIGNATURE
from tests.servers.vertex_grpc import VertexGrpcServer

from whence.demo.records import PROMPT, generate

RECORD = generate(100)
RESULT = f'<source name="record">\n{RECORD.text}\n</source>'
CALL = ToolCall(name="read_record", arguments={"number": 1})
CALL_TEXT = 'read_record({"number": 1})'
READ = [("user", PROMPT), ("assistant", CALL_TEXT), ("user", RESULT)]
TOKENS = 80
HAIKU, FLASH, SIGNING = "claude-haiku-5-5", "gemini-2.5-flash", "gemini-3.5-flash"
SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        running = {"anthropic": AnthropicServer(), "ollama": OllamaServer(), "vertex": VertexServer()}
        yield {name: stack.enter_context(server) for name, server in running.items()}


@pytest.fixture(autouse=True)
def scripted(servers: dict[str, Server]) -> None:
    for server in servers.values():
        server.forget()
        server.tool_calls.append(CALL)


@pytest.fixture(scope="module")
def answer() -> str:
    """What the bundled model makes of the whole conversation, which is the truth."""
    written = writer().write(READ, max_tokens=TOKENS).text
    assert written == RECORD.summary
    return written


def test_a_call_is_written_in_one_way() -> None:
    assert CALL.text == CALL_TEXT
    assert ToolCall(name="find", arguments={"b": "Åsa", "a": [1.5]}).text == 'find({"a": [1.5], "b": "Åsa"})'


def test_the_script_is_read_by_the_conversation() -> None:
    other = ToolCall(name="other", arguments={})
    script = [CALL, other, CALL]
    assert next_call(script, offered={"read_record"}, made=[]) is CALL
    assert next_call(script, offered={"other"}, made=["read_record"]) is other
    assert next_call(script, offered={"other", "read_record"}, made=["read_record"]) is other
    assert next_call(script, offered={"read_record"}, made=["read_record"] * 2) is None
    assert next_call(script, offered=(), made=[]) is None


# --- Anthropic ---

CLAUDE_TOOL = {"name": CALL.name, "description": "Read a record.", "input_schema": SCHEMA}
USE = {"type": "tool_use", "id": "toolu_1", "name": CALL.name, "input": CALL.arguments}
BROUGHT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": RESULT}
ASKED = {"role": "user", "content": PROMPT}
USED = {"role": "assistant", "content": [USE]}


def claude_said(*content: dict[str, Any]) -> list[dict[str, Any]]:
    return [ASKED, USED, {"role": "user", "content": list(content)}]


@pytest.fixture
def claude(servers: dict[str, Server]) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        api_key=API_KEY, base_url=servers["anthropic"].url, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def ask_claude(client: anthropic.Anthropic, **changed: Any) -> anthropic.types.Message:
    given: dict[str, Any] = {"max_tokens": TOKENS, "messages": [ASKED], "tools": [CLAUDE_TOOL]}
    message = client.messages.create(model=HAIKU, **given | changed)
    assert isinstance(message, anthropic.types.Message)
    return message


def test_claude_calls_and_then_answers(
    servers: dict[str, Server], claude: anthropic.Anthropic, answer: str
) -> None:
    called = ask_claude(claude)
    (use,) = called.content
    assert isinstance(use, anthropic.types.ToolUseBlock)
    assert (use.name, use.input, called.stop_reason) == (CALL.name, CALL.arguments, "tool_use")
    again = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": RESULT}]}
    history = [
        ASKED,
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [again]},
    ]
    answered = ask_claude(claude, messages=history)
    assert [block.model_dump(include={"text"}) for block in answered.content] == [{"text": answer}]
    server = servers["anthropic"]
    assert server.calls == 2
    assert server.output_tokens == called.usage.output_tokens + answered.usage.output_tokens
    assert server.input_tokens == called.usage.input_tokens + answered.usage.input_tokens
    counted = claude.messages.count_tokens(model=HAIKU, messages=claude_said(BROUGHT), tools=[CLAUDE_TOOL])  # type: ignore[arg-type,list-item]
    assert counted.input_tokens == answered.usage.input_tokens == writer().count(READ)


def test_a_streamed_call_of_claude_is_the_whole_one(
    servers: dict[str, Server], claude: anthropic.Anthropic
) -> None:
    arguments = {"number": 1, "why": "Åsa wants to know what she is allergic to."}
    servers["anthropic"].tool_calls[:] = [ToolCall(name=CALL.name, arguments=arguments)]
    whole = ask_claude(claude).content[0].model_dump(exclude={"id"})
    thinking: Any = {"type": "adaptive"}
    with claude.messages.stream(
        model=HAIKU,
        max_tokens=TOKENS,
        messages=[ASKED],  # type: ignore[list-item]
        tools=[CLAUDE_TOOL],  # type: ignore[list-item]
        thinking=thinking,
    ) as stream:
        parts = [event.partial_json for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    assert json.loads("".join(parts)) == arguments
    assert len(parts) > 2
    assert [block.type for block in message.content] == ["thinking", "tool_use"]
    assert message.content[1].model_dump(exclude={"id"}) == whole
    assert message.stop_reason == "tool_use"


def test_claude_calls_what_it_is_allowed_to(claude: anthropic.Anthropic) -> None:
    for choice in ("auto", "any"):
        assert ask_claude(claude, tool_choice={"type": choice}).stop_reason == "tool_use"
    assert ask_claude(claude, tool_choice={"type": "tool", "name": CALL.name}).stop_reason == "tool_use"
    assert ask_claude(claude, tool_choice={"type": "none"}).stop_reason != "tool_use"
    assert ask_claude(claude, tools=[]).stop_reason != "tool_use"
    assert ask_claude(claude, tools=[CLAUDE_TOOL | {"name": "other"}]).stop_reason != "tool_use"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"messages": [ASKED, USED, ASKED]}, "messages.1: `tool_use` ids were found without"),
        ({"messages": [ASKED, USED]}, "immediately after: toolu_1. "),
        (
            {"messages": claude_said(BROUGHT | {"tool_use_id": "toolu_2"})},
            "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_2.",
        ),
        ({"messages": [{"role": "user", "content": [BROUGHT]}]}, "messages.0.content.0: unexpected"),
        ({"messages": claude_said(BROUGHT, BROUGHT)}, "Found multiple `tool_result` blocks"),
        ({"messages": [ASKED, {"role": "assistant", "content": [USE, USE]}]}, "ids must be unique"),
        ({"messages": [{"role": "user", "content": [USE]}]}, "only be in `assistant` messages"),
        (
            {"messages": claude_said(BROUGHT | {"content": [{"type": "text", "text": ""}]})},
            "text content blocks must be non-empty",
        ),
        ({"tools": [CLAUDE_TOOL, CLAUDE_TOOL]}, "Tool names must be unique"),
        ({"tools": [CLAUDE_TOOL | {"name": "read record"}]}, "tools.0.name: String should match"),
        ({"tools": [{"name": "read"}]}, "tools.0.input_schema: Field required"),
        ({"tools": [], "tool_choice": {"type": "any"}}, "may only be specified while providing tools"),
        ({"tool_choice": {"type": "tool", "name": "other"}}, "Tool 'other' not found"),
    ],
)
def test_claude_refuses_turns_that_do_not_fit(
    servers: dict[str, Server], claude: anthropic.Anthropic, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask_claude(claude, **changed)
    assert message in caught.value.message
    assert servers["anthropic"].output_tokens == 0


def test_other_tools_are_another_beginning_in_the_cache(claude: anthropic.Anthropic) -> None:
    cached = {"cache_control": {"type": "ephemeral"}, "messages": claude_said(BROUGHT)}
    read = [
        ask_claude(claude, tools=[CLAUDE_TOOL | changed], **cached).usage.cache_read_input_tokens
        for changed in ({}, {}, {"description": "Read another."})
    ]
    assert read == [0, writer().count(READ), 0]


# --- Ollama ---

OLLAMA_TOOL = {"type": "function", "function": {"name": CALL.name, "description": "", "parameters": SCHEMA}}
GREEDY = {"temperature": 0, "num_predict": TOKENS}


def ask_ollama(server: Server, **changed: Any) -> httpx.Response:
    given = {"model": TOOLED, "messages": [ASKED], "tools": [OLLAMA_TOOL], "stream": False, "options": GREEDY}
    return httpx.post(f"{server.url}/api/chat", json=given | changed, timeout=60)


@pytest.mark.parametrize("logprobs", [False, True])
def test_ollama_calls_and_then_answers(servers: dict[str, Server], answer: str, logprobs: bool) -> None:
    server = servers["ollama"]
    given: dict[str, Any] = {"tools": [OLLAMA_TOOL], "options": GREEDY, "logprobs": logprobs}
    with ollama.Client(server.url) as client:
        called = client.chat(TOOLED, [ASKED], **given)
        chunks = list(client.chat(TOOLED, [ASKED], stream=True, **given))
        history = [ASKED, called.message, {"role": "tool", "content": RESULT, "tool_name": CALL.name}]
        answered = client.chat(TOOLED, history, **given)
    for message in (called.message, next(chunk.message for chunk in chunks if chunk.message.tool_calls)):
        assert message.tool_calls is not None
        (call,) = message.tool_calls
        assert (call.function.name, call.function.arguments) == (CALL.name, CALL.arguments)
    assert (called.message.content, called.done_reason) == ("", "stop")
    assert not any(chunk.message.content for chunk in chunks)
    told = [entry.token for chunk in chunks for entry in chunk.logprobs or ()]
    assert "".join(told) == (CALL_TEXT if logprobs else "")
    assert len(chunks) == (len(told) if logprobs else 1) + 1
    assert answered.message.content == answer
    assert server.calls == 3
    assert answered.prompt_eval_count == writer().count(READ)
    assert server.output_tokens == sum(one.eval_count or 0 for one in (called, chunks[-1], answered))


def test_ollama_says_which_models_call_tools(servers: dict[str, Server]) -> None:
    server = servers["ollama"]
    shown = httpx.post(f"{server.url}/api/show", json={"model": TOOLED}).json()
    assert shown["capabilities"] == ["completion", "tools"]
    refused = ask_ollama(server, model="demo")
    assert refused.status_code == 400
    assert refused.json() == {"error": "registry.ollama.ai/library/demo:latest does not support tools"}
    assert "tool_calls" not in ask_ollama(server, model="demo", tools=[]).json()["message"]
    cut = ask_ollama(server, options=GREEDY | {"num_predict": 6}).json()
    assert cut["done_reason"] == "length"
    assert CALL_TEXT.startswith(cut["message"]["content"])
    function = {"name": CALL.name, "arguments": "{}"}
    wrong = ask_ollama(server, messages=[{"role": "assistant", "tool_calls": [{"function": function}]}])
    assert wrong.status_code == 400
    assert "function.arguments" in wrong.json()["error"]


# --- Gemini ---

GEMINI_TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name=CALL.name,
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={"number": types.Schema(type=types.Type.INTEGER)},
            ),
        )
    ]
)
WITH_TOOL = types.GenerateContentConfig(temperature=0, max_output_tokens=TOKENS, tools=[GEMINI_TOOL])
FUNCTION = types.Part(function_call=types.FunctionCall(name=CALL.name, args=dict(CALL.arguments)))
RESPONSE = types.Part(function_response=types.FunctionResponse(name=CALL.name, response={"output": RESULT}))
GEMINI_ASKED = types.Content(role="user", parts=[types.Part(text=PROMPT)])
GEMINI_CALLED = types.Content(role="model", parts=[FUNCTION])


def gemini_said(*parts: types.Part) -> list[types.Content]:
    return [GEMINI_ASKED, GEMINI_CALLED, types.Content(role="user", parts=list(parts))]


@pytest.fixture
def gemini(servers: dict[str, Server]) -> Iterator[genai.models.Models]:
    client = genai.Client(
        enterprise=True,
        project=PROJECT,
        location=LOCATION,
        credentials=Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=servers["vertex"].url, api_version="v1"),
    )
    yield client.models
    client.close()


@pytest.mark.parametrize("model", [FLASH, SIGNING])
def test_gemini_calls_and_then_answers(
    servers: dict[str, Server], gemini: genai.models.Models, model: str, answer: str
) -> None:
    called = gemini.generate_content(model=model, contents=PROMPT, config=WITH_TOOL)
    (chunk,) = gemini.generate_content_stream(model=model, contents=PROMPT, config=WITH_TOOL)
    for response in (called, chunk):
        assert response.function_calls is not None
        (function,) = response.function_calls
        assert (function.name, function.args) == (CALL.name, CALL.arguments)
        assert response.candidates is not None
        assert response.candidates[0].finish_reason == types.FinishReason.STOP
    assert called.candidates is not None
    content = called.candidates[0].content
    assert content is not None
    assert content.parts is not None
    assert content.parts[0].thought_signature == (SIGNATURE if model == SIGNING else None)
    history = [GEMINI_ASKED, content, types.Content(role="user", parts=[RESPONSE])]
    answered = gemini.generate_content(model=model, contents=history, config=WITH_TOOL)
    assert answered.text == answer
    used = [response.usage_metadata for response in (called, chunk, answered)]
    server = servers["vertex"]
    assert server.calls == 3
    assert server.input_tokens == sum(one.prompt_token_count or 0 for one in used if one)
    assert server.output_tokens == sum(one.candidates_token_count or 0 for one in used if one)
    assert used[2] is not None
    assert used[2].prompt_token_count == writer().count(READ)


def test_gemini_calls_what_it_is_allowed_to(gemini: genai.models.Models) -> None:
    def calls(mode: str, *names: str) -> bool:
        choice = types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode(mode), allowed_function_names=list(names) or None
        )
        config = WITH_TOOL.model_copy(
            update={"tool_config": types.ToolConfig(function_calling_config=choice)}
        )
        return bool(gemini.generate_content(model=FLASH, contents=PROMPT, config=config).function_calls)

    assert calls("AUTO")
    assert calls("ANY", CALL.name)
    assert not calls("ANY", "other")
    assert not calls("NONE")


@pytest.mark.parametrize(
    ("model", "contents", "message"),
    [
        (FLASH, gemini_said(RESPONSE, RESPONSE), "number of function response parts is equal"),
        (FLASH, gemini_said(types.Part(text="So?")), "number of function response parts is equal"),
        (FLASH, [types.Content(role="user", parts=[RESPONSE])], "immediately after a function call turn"),
        (SIGNING, gemini_said(RESPONSE), "`read_record` in the 2. content block is missing a `thought_sig"),
    ],
    ids=["too many results", "no result", "no call", "no signature"],
)
def test_gemini_refuses_turns_that_do_not_fit(
    gemini: genai.models.Models, model: str, contents: Any, message: str
) -> None:
    with pytest.raises(errors.ClientError) as caught:
        gemini.generate_content(model=model, contents=contents, config=WITH_TOOL)
    assert caught.value.code == 400
    assert message in str(caught.value.message)


def test_signatures_of_earlier_turns_are_not_wanted(gemini: genai.models.Models) -> None:
    contents: Any = [
        *gemini_said(RESPONSE),
        types.Content(role="model", parts=[types.Part(text="He is well.")]),
        GEMINI_ASKED,
    ]
    assert gemini.generate_content(model=SIGNING, contents=contents, config=WITH_TOOL).text


def test_gemini_calls_over_grpc_too(answer: str) -> None:
    name = f"projects/{PROJECT}/locations/{LOCATION}/publishers/google/models/{SIGNING}"
    tool = v1.Tool(function_declarations=[v1.FunctionDeclaration(name=CALL.name)])
    config = v1.GenerationConfig(temperature=0, max_output_tokens=TOKENS)
    asked = v1.Content(role="user", parts=[v1.Part(text=PROMPT)])
    brought = v1.Part(function_response=v1.FunctionResponse(name=CALL.name, response={"output": RESULT}))
    with VertexGrpcServer() as server, grpc.insecure_channel(server.address) as channel:
        server.tool_calls.append(CALL)
        transport = v1.PredictionServiceClient.get_transport_class("grpc")(channel=channel)
        client = v1.PredictionServiceClient(transport=transport)

        def ask(*contents: v1.Content) -> v1.Content:
            request = v1.GenerateContentRequest(
                model=name, contents=contents, tools=[tool], generation_config=config
            )
            metadata = [("authorization", f"Bearer {ACCESS_TOKEN}")]
            return client.generate_content(request, metadata=metadata).candidates[0].content

        called = ask(asked)
        answered = ask(asked, called, v1.Content(role="user", parts=[brought]))
    assert dict(called.parts[0].function_call.args) == CALL.arguments
    assert [part.text for part in answered.parts] == [answer]


# --- LangChain ---


def langchain(module: str) -> Any:
    return pytest.importorskip(module, reason="LangChain is not installed")


def chat_anthropic(server: Server) -> Any:
    return langchain("langchain_anthropic").ChatAnthropic(
        model=HAIKU, api_key=API_KEY, base_url=server.url, max_tokens=TOKENS, max_retries=0
    )


def chat_ollama(server: Server) -> Any:
    return langchain("langchain_ollama").ChatOllama(
        model=TOOLED, base_url=server.url, temperature=0, num_predict=TOKENS
    )


def chat_gemini(server: Server, model: str = FLASH) -> Any:
    return langchain("langchain_google_genai").ChatGoogleGenerativeAI(
        model=model,
        project=PROJECT,
        location=LOCATION,
        credentials=Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
        base_url=server.url,
        api_version="v1",
        temperature=0,
        max_output_tokens=TOKENS,
        max_retries=1,
    )


CHATS: dict[str, tuple[str, Callable[[Server], Any]]] = {
    "anthropic": ("anthropic", chat_anthropic),
    "ollama": ("ollama", chat_ollama),
    "gemini": ("vertex", chat_gemini),
    "gemini that signs": ("vertex", lambda server: chat_gemini(server, SIGNING)),
}


@pytest.fixture(params=CHATS)
def chat(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Iterator[tuple[Server, Any]]:
    name, make = CHATS[request.param]
    llm = make(servers[name])
    yield servers[name], llm
    if name == "vertex":
        llm.client.close()
    elif name == "ollama":
        llm._client.close()


def tool() -> Any:
    def read_record(number: int) -> str:
        """Read a record."""
        return RESULT if number == 1 else "There is none."

    return langchain("langchain_core.tools").tool(read_record)


async def later(llm: Any, bound: Any, history: Any) -> str:
    """The text of an answer that is waited for. LangChain's models leave their connections open."""
    message = await bound.ainvoke(history)
    await (llm.client.aio.aclose() if hasattr(llm, "client") else llm._async_client.close())
    return str(message.text)


def called(message: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


def test_a_langchain_model_calls_and_then_answers(chat: tuple[Server, Any], answer: str) -> None:
    server, llm = chat
    bound = llm.bind_tools([tool()])
    asked = langchain("langchain_core.messages").HumanMessage(PROMPT)
    message = bound.invoke([asked])
    assert called(message) == [(CALL.name, CALL.arguments)]
    assert message.text == ""
    history = [asked, message, tool().invoke(message.tool_calls[0])]
    answered = bound.invoke(history)
    assert answered.text == answer
    assert not answered.tool_calls
    pieces = list(bound.stream(history))
    assert "".join(piece.text for piece in pieces) == answer
    whole, *rest = bound.stream([asked])
    for piece in rest:
        whole += piece
    assert called(whole) == [(CALL.name, CALL.arguments)]
    assert asyncio.run(later(llm, bound, history)) == answer
    assert server.calls == 5
    used = message.usage_metadata["output_tokens"], answered.usage_metadata["output_tokens"]
    assert server.output_tokens == 2 * used[0] + 3 * used[1]


def test_an_agent_has_its_round(chat: tuple[Server, Any], answer: str) -> None:
    server, llm = chat
    agent = langchain("langchain.agents").create_agent(llm, [tool()])
    asked = {"messages": [{"role": "user", "content": PROMPT}]}
    for state in agent.batch([asked] * 3):
        kinds = [message.type for message in state["messages"]]
        assert kinds == ["human", "ai", "tool", "ai"]
        assert state["messages"][2].content == RESULT
        assert state["messages"][3].text == answer
    assert server.calls == 6
