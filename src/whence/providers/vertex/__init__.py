"""Gemini on Google's Vertex AI. Imports neither SDK: the first question does."""

from whence.providers.vertex.provider import Vertex

__all__ = ["Vertex"]
