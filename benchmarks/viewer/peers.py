"""The pages that BertViz and Inspectus make of the same weights."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

HEAD = "<!doctype html><meta charset=utf-8><body>"


def bertviz(weights: NDArray[np.float32], tokens: list[str]) -> str:
    """Its head view. Raises ImportError where it is not installed."""
    import torch
    from bertviz.head_view import head_view

    layers = [torch.from_numpy(layer)[None] for layer in weights]
    page = head_view(layers, tokens, prettify_tokens=False, html_action="return")
    return HEAD + page.data


def inspectus(weights: NDArray[np.float32], tokens: list[str]) -> str:
    """All of its charts, as a notebook would show them. Raises ImportError where it is not installed."""
    import inspectus
    import IPython.display

    shown: list[str] = []
    with patch.object(IPython.display, "display", lambda page: shown.append(page.data)):
        inspectus.attention(weights, tokens, tokens)
    return HEAD + "".join(shown)
