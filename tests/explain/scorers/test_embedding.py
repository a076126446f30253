"""Similarity of meaning, with a model of random weights: what it means is not tested, how it is used is."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from whence import InputError, MissingExtraError, ModelLoadError
from whence.explain.scorers import Scorer, get_scorer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*SPECIAL, "the", "patient", "has", "fever", "no", "cough", "aspirin", "daily", "mg", "5", "50", "."]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with mean pooling, as sentence-transformers saves it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("embedding")
    inner = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(root / "bert")
    tokenizer.save_pretrained(root / "bert")
    SentenceTransformer(str(root / "bert"), device="cpu").save(str(root / "model"))
    return root / "model"


@pytest.fixture(scope="module")
def scorer(directory: Path) -> Scorer:
    return get_scorer("embedding", model=str(directory))


def test_what_is_verbatim_is_said(scorer: Scorer) -> None:
    text = "The patient has fever. The cough. Aspirin daily. No cough."
    targets = ["the cough.", "The cough. Aspirin daily.", "No cough."]
    assert scorer.score(targets[1:], text) == pytest.approx([1, 1], abs=1e-6)
    assert scorer.score(targets, text)[0] < 1 - 1e-6  # the model's own folding of case, which has none


def test_a_score_is_that_of_the_best_sentence_or_pair(scorer: Scorer) -> None:
    sentences = ["no fever.", "cough daily.", "aspirin 5 mg."]
    alone = [scorer.score(["aspirin 50 mg"], sentence)[0] for sentence in sentences]
    pairs = [scorer.score(["aspirin 50 mg"], " ".join(sentences[i : i + 2]))[0] for i in (0, 1)]
    assert scorer.score(["aspirin 50 mg"], " ".join(sentences))[0] == pytest.approx(
        max(alone + pairs), abs=1e-6
    )


def test_what_has_nothing_visible_is_not_said(scorer: Scorer) -> None:
    assert scorer.score(["fever", "cough"], "") == [0, 0]
    assert scorer.score(["fever"], " \n") == [0]
    assert scorer.score([" ", "cough"], "cough")[0] == 0
    assert scorer.score([], "fever") == []


def test_hostile_text_scores_between_zero_and_one(scorer: Scorer) -> None:
    text = "</script> \0 \u202eabc 👨\u200d👩 \ud800 " + "a" * 10_000 + " fever" * 500
    assert all(0 <= score <= 1 for score in scorer.score([text, "fever", "\ud800"], text))


def test_threads_may_share_a_scorer(scorer: Scorer) -> None:
    targets = ["fever", "aspirin daily"]
    expected = scorer.score(targets, "cough daily.")
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: scorer.score(targets, "cough daily."), range(20)):
            assert found == pytest.approx(expected, abs=1e-6)


def test_a_loaded_model_is_taken_as_it_is(directory: Path, scorer: Scorer) -> None:
    from sentence_transformers import SentenceTransformer

    loaded = get_scorer("embedding", model=SentenceTransformer(str(directory), device="cpu"))
    assert loaded.score(["fever"], "no cough") == pytest.approx(scorer.score(["fever"], "no cough"))


def test_it_says_that_numbers_and_negations_do_not_count(scorer: Scorer) -> None:
    assert scorer.name == "embedding"
    assert "nothing of numbers, units and negations" in scorer.caveats[0]


@pytest.mark.parametrize("name", ["no/such-model", "default"])
def test_a_model_that_cannot_be_loaded_says_what_to_do(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {} if name == "default" else {"model": name}
    with pytest.raises(ModelLoadError, match=r"cannot be loaded.*choose the scorer 'overlap'"):
        get_scorer("embedding", **options)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        get_scorer("embedding", model=str(tmp_path))


def test_another_kind_of_model_is_refused() -> None:
    with pytest.raises(InputError, match="is a int: give a hub id"):
        get_scorer("embedding", model=3)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"'sentence_transformers'.*whence\[embedding\]"):
        get_scorer("embedding")
