"""Whether a message says otherwise than a document where the two differ: another number, or a negation.

A record made from the same template shares nearly all words with another, and says something else. Words of
other kinds may differ: they are a cut, or a mark that was put between.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from whence.api.langchain.passages import Run

NUMBER_WORDS = 4
"""The most words that can stand in place of a number, with its unit; more are a cut."""
NEGATION_WORDS = 2
"""The most words that a negation takes, as in `does not` for `did`."""
NEGATIONS = frozenset(
    {"not", "no", "never", "none", "without", "neither", "nor", "cannot", "t"}  # the end of `doesn't`
    | {"nicht", "kein", "keine", "keinen", "keiner", "nie", "ohne", "ne", "pas", "jamais", "sans", "aucun"}
    | {"aucune", "nunca", "sin", "ningún", "ninguna", "ninguno", "não", "sem", "non", "senza", "niet", "geen"}
    | set("不没沒無未")
)
"""Of English, German, French, Spanish, Portuguese, Italian, Dutch, Chinese and Japanese."""


_REACH = NUMBER_WORDS + 1


def says_otherwise(document: Sequence[str], message: Sequence[str], runs: Sequence[Run]) -> bool:
    """Whether another number, or a negation more or less, stands between these runs or beside them.

    `document`, `message`: their words. `runs`: what they share.
    """
    between = (
        (document[one.begin + one.length : other.begin], message[one.end : other.at])
        for one, other in pairwise(runs)
    )
    first, last = runs[0], runs[-1]
    before = _differing(document[: first.begin][::-1], message[: first.at][-_REACH:][::-1])
    after = _differing(document[last.begin + last.length :], message[last.end : last.end + _REACH])
    return any(_contrary(own, others) for own, others in (*between, before, after))


def _differing(document: Sequence[str], message: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What differs before the two go on alike: at most a few words; nothing where they do not.

    A document that is but a number longer goes on nowhere: its end is as good.
    """
    document = document[:_REACH]
    for total in range(2 * NUMBER_WORDS + 1):
        for skipped in range(total + 1):
            other = total - skipped
            if skipped < len(document) and other < len(message) and document[skipped] == message[other]:
                return document[:skipped], message[:other]
    if len(document) == 1 and message and _number(document[0]) and not _cut(document[0], message[0]):
        return document, message[:1]
    return (), ()


def _contrary(document: Sequence[str], message: Sequence[str]) -> bool:
    if max(len(document), len(message)) > NUMBER_WORDS:
        return False
    own, other = ("".join(filter(_number, words)) for words in (document, message))
    if own and other and own != other:
        return True
    if max(len(document), len(message)) > NEGATION_WORDS:
        return False
    return _negations(document) != _negations(message)


def _negations(words: Sequence[str]) -> int:
    return sum(word in NEGATIONS for word in words)


def _number(word: str) -> bool:
    return word[0].isdigit()


def _cut(word: str, other: str) -> bool:
    return word.startswith(other) or word.endswith(other)
