"""Hugging Face models: loading, generation, and native attention."""

from whence.providers.huggingface.provider import HuggingFace

__all__ = ["HuggingFace"]
