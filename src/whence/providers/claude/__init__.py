"""Claude: text, citations and counts, from Anthropic's API or on Vertex AI."""

from whence.providers.claude.adapter import Claude

__all__ = ["Claude"]
