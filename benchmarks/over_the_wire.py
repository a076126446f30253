"""Claude, Gemini and Ollama over the wire: the real clients, and servers in this process that speak as those.

The bundled model answers, always with its most probable tokens; the servers remember what it wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.oauth2.credentials import Credentials

# The servers are those of the tests, which are no part of the package: they are found from the repository's
# root, and `python benchmarks/...` looks for modules in benchmarks/ only.
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers.anthropic import API_KEY, AnthropicServer
from tests.servers.google_credentials import ACCESS_TOKEN, PROJECT
from tests.servers.hosting import Server
from tests.servers.ollama import OllamaServer
from tests.servers.vertex import VertexServer
from tests.servers.vertex_answers import LOCATION

from whence import Explainer, Explanation
from whence.providers.base import Provider
from whence.providers.claude import Claude
from whence.providers.ollama import Ollama
from whence.providers.vertex import Vertex

IN_FLIGHT = 32
UNTOLD = "0.12.10"
"""An Ollama that tells no log-probabilities yet."""
BLOBS = {"F32": "demo:latest", "Q8_0": "demo:q8_0", "Q4_0": "demo:q4_0"}
"""What the server's store holds of the bundled model, by the type of its weights."""


class MiscountError(Exception):
    """An explanation counts other calls or tokens than the server that it asked."""


class Wire:
    """A server, each of whose explanations is held against what it counted. `compared`: how many were equal.

    `attends_here`: whether the server only writes the answer, whose attention is then read in this process,
    in one pass.
    """

    def __init__(self, server: Server, provider: Provider, *, attends_here: bool = False) -> None:
        self.compared = 0
        self._server, self._model = server, provider.model
        self._attends_here = attends_here
        self._explainer = Explainer(provider)

    def explain(self, prompt: str, **arguments: Any) -> Explanation:
        """As `Explainer.explain`. Raises MiscountError."""
        self._server.forget()
        explanation = self._explainer.explain(prompt, **arguments)
        cost = explanation.cost
        own = (cost.calls, cost.input_tokens, cost.output_tokens)
        counted = self._counted(explanation)
        if own != counted:
            raise MiscountError(
                f"{self._model}, {arguments['method']}: the explanation counts {own}, and the server "
                f"{counted} (calls, input tokens, output tokens). One of the two is wrong, and with it "
                "every price"
            )
        self.compared += 1
        return explanation

    def _counted(self, explanation: Explanation) -> tuple[int, int, int]:
        """Calls, input and output tokens: the server's, and those of the pass that was made here."""
        calls, read, wrote = self._server.calls, self._server.input_tokens, self._server.output_tokens
        if self._attends_here:
            # That one reads again what the server read for its answer, and the answer.
            calls, read = calls + 1, 2 * read + len(explanation.output.tokens)
        return calls, read, wrote


@contextmanager
def apis() -> Iterator[dict[str, Wire]]:
    """The APIs by their names in this benchmark, while their servers run."""
    with (
        AnthropicServer() as anthropic,
        VertexServer() as google,
        OllamaServer() as ollama,
        OllamaServer(version=UNTOLD) as older,
    ):
        claude = Claude("claude-sonnet-5-5", api_key=API_KEY, base_url=anthropic.url, max_in_flight=IN_FLIGHT)
        yield {
            "claude": Wire(anthropic, claude),
            "gemini 2.5": Wire(google, gemini(google, "gemini-2.5-flash")),
            "gemini 3.5": Wire(google, gemini(google, "gemini-3.5-flash")),
            "ollama": Wire(ollama, Ollama("demo", host=ollama.url, native=False)),
            f"ollama {UNTOLD}": Wire(older, Ollama("demo", host=older.url, native=False)),
            **{
                f"ollama weights {kind}": Wire(ollama, blob(ollama, name), attends_here=True)
                for kind, name in BLOBS.items()
            },
        }


def blob(server: OllamaServer, model: str) -> Ollama:
    """Weights of the server's store, loaded in this process."""
    return Ollama(model, host=server.url, native=True, models_dir=server.store)


def gemini(server: Server, model: str) -> Vertex:
    """Gemini over REST."""
    return Vertex(
        model,
        project=PROJECT,
        location=LOCATION,
        credentials=Credentials(token=ACCESS_TOKEN),
        endpoint=server.url,
        max_in_flight=IN_FLIGHT,
    )
