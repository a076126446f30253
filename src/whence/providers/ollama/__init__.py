"""Models of an Ollama: native attention of the weights it holds, scores from the model it serves."""

from whence.providers.ollama.adapter import Ollama

__all__ = ["Ollama"]
