"""Similarity of meaning, by a sentence-embedding model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whence.explain.segments import split
from whence.providers.errors import InputError, MissingExtraError, ModelLoadError

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
CAVEAT = (
    "Similarity of meaning by an embedding model says nothing of numbers, units and negations: '5 mg' and "
    "'50 mg', 'fever' and 'no fever' score as nearly the same."
)
# A tokenizer cannot be used by two threads at once, and one pass of a model fills the machine.
_turn = threading.Lock()


class Embedding:
    """The cosine of a target to the most similar sentence, or pair of neighbours, of the text; never below 0.

    It says nothing of numbers, units and negations: see CAVEAT; `overlap` decides by them.

    `model`: a hub id, a directory, or a SentenceTransformer. What is longer than it reads is cut by it.
    Raises MissingExtraError, ModelLoadError, and InputError for another kind of `model`.
    """

    name = "embedding"
    caveats = (CAVEAT,)

    def __init__(self, model: Any = DEFAULT_MODEL) -> None:
        try:
            import sentence_transformers
        except ModuleNotFoundError as error:
            # A package that it needs may be what is missing: the same command brings it.
            raise MissingExtraError("embedding", (error.name or "").partition(".")[0]) from error
        if not isinstance(model, str | sentence_transformers.SentenceTransformer):
            raise InputError(
                f"model= of the scorer 'embedding' is a {type(model).__name__}: give a hub id, a directory, "
                "or a SentenceTransformer"
            )
        self._model: Any = _loaded(model) if isinstance(model, str) else model

    def score(self, targets: Sequence[str], text: str) -> list[float]:
        """From 0 to 1; 0 where the text or the target has nothing visible."""
        windows = _windows(_encodable(text))
        if not targets or not windows:
            return [0.0] * len(targets)
        wanted = [_encodable(target).strip() for target in targets]
        vectors = self._vectors(wanted + windows)
        cosines = vectors[: len(wanted)] @ vectors[len(wanted) :].T
        best = np.clip(cosines.max(axis=1), 0.0, 1.0)
        return [float(value) if target else 0.0 for value, target in zip(best, wanted, strict=True)]

    def _vectors(self, texts: list[str]) -> NDArray[np.float64]:
        """Texts x dimensions, of length 1, or 0 where the model gives no direction."""
        with _turn:
            made = self._model.encode(texts, convert_to_numpy=True, show_progress_bar=False)
        vectors: NDArray[np.float64] = np.asarray(made, dtype=np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all():
            raise InputError(
                "the embedding model gives vectors that are not finite, so nothing can be compared: its "
                "weights are damaged; take another, or the scorer 'overlap'"
            )
        return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0))


def _windows(text: str) -> list[str]:
    """Sentences and pairs of neighbours, without blanks around them; each once."""
    spans = split(text, "sentence")
    pairs = [(before[0], after[1]) for before, after in pairwise(spans)]
    found = dict.fromkeys(text[start:end].strip() for start, end in [*spans, *pairs])
    return [window for window in found if window]


def _encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer can read, as question marks."""
    return text.encode(errors="replace").decode()


# A method makes its scorer to check the parameters and again to use it: the last model is kept.
@lru_cache(maxsize=1)
def _loaded(name: str) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(name, model_kwargs={"use_safetensors": True})  # a pickle can run code
    except Exception as error:  # files of others: the library raises whatever its parsers meet
        first = str(error).strip().partition("\n")[0]
        raise ModelLoadError(
            f"the embedding model {name} cannot be loaded: {first}. Give a hub id or a directory that "
            "sentence-transformers can read, or choose the scorer 'overlap', which needs none"
        ) from error
