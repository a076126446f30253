"""Claude and Gemini over the wire: the real SDKs, and servers in this process that speak as the APIs do.

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
from tests.servers.vertex import VertexServer
from tests.servers.vertex_answers import LOCATION

from whence import Explainer, Explanation
from whence.providers.base import Provider
from whence.providers.claude import Claude
from whence.providers.vertex import Vertex

IN_FLIGHT = 32


class MiscountError(Exception):
    """An explanation counts other calls or tokens than the server that it asked."""


class Wire:
    """An API, each of whose explanations is held against what its server counted.

    `compared`: how many were, and found equal.
    """

    def __init__(self, server: Server, provider: Provider) -> None:
        self.compared = 0
        self._server, self._model = server, provider.model
        self._explainer = Explainer(provider)

    def explain(self, prompt: str, **arguments: Any) -> Explanation:
        """As `Explainer.explain`. Raises MiscountError."""
        self._server.forget()
        explanation = self._explainer.explain(prompt, **arguments)
        cost, server = explanation.cost, self._server
        own = (cost.calls, cost.input_tokens, cost.output_tokens)
        counted = (server.calls, server.input_tokens, server.output_tokens)
        if own != counted:
            raise MiscountError(
                f"{self._model}, {arguments['method']}: the explanation counts {own}, and the server "
                f"{counted} (calls, input tokens, output tokens). One of the two is wrong, and with it "
                "every price"
            )
        self.compared += 1
        return explanation


@contextmanager
def apis() -> Iterator[dict[str, Wire]]:
    """The APIs by their names in this benchmark, while their servers run."""
    with AnthropicServer() as anthropic, VertexServer() as google:
        claude = Claude("claude-sonnet-5-5", api_key=API_KEY, base_url=anthropic.url, max_in_flight=IN_FLIGHT)
        yield {
            "claude": Wire(anthropic, claude),
            "gemini 2.5": Wire(google, gemini(google, "gemini-2.5-flash")),
            "gemini 3.5": Wire(google, gemini(google, "gemini-3.5-flash")),
        }


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
