"""How far a message goes on as a document does, beside the words that they share."""

from __future__ import annotations

from whence.api.langchain.words import Words

_QUOTES = "'‘’‚‛`´ʼ′\"“”„‟″«»‹›「」『』"
_ALIKE = str.maketrans(dict.fromkeys(_QUOTES, "'") | dict.fromkeys("‐‑‒–—―−", "-"))


def reach(document: Words, word: int, text: Words, at: int, stop: int, step: int) -> tuple[bool, int]:
    """How far a message goes on as a document does; whether up to the document's edge, and where it ends.

    `step`: -1 for backwards from the document's word `word` and the message's `at`, 1 for forwards from the
    words before these. `stop`: no further than that in the message's plain text. Up to the document's edge,
    if it goes so far; else to the end of a word that is cut, in the same line; else past the punctuation.
    """
    here = document.edges[word][0] if step < 0 else document.edges[word - 1][1]
    there = text.edges[at][0] if step < 0 else text.edges[at - 1][1]
    far = len(document.plain) if step > 0 else 0
    shift = min(step, 0)
    begin = reached = there
    bare = True
    while here != far and there != stop:
        written, read_ = document.plain[here + shift], text.plain[there + shift]
        if written.isspace() and read_.isspace():
            here, there = (
                _past_blanks(document.plain, here, far, step),
                _past_blanks(text.plain, there, stop, step),
            )
            bare = False
        elif _alike(written) == _alike(read_):
            here, there = here + step, there + step
            bare &= not written.isalnum()
            reached = there if bare else reached
        else:
            break
    if here == far:
        return True, there
    passed = text.plain[min(begin, there) : max(begin, there)]
    following = text.plain[max(0, there + shift) : there + shift + 1]
    if passed and passed[0 if step < 0 else -1].isalnum() and not following.isalnum() and "\n" not in passed:
        return False, there
    return False, reached


def _past_blanks(text: str, at: int, stop: int, step: int) -> int:
    while at != stop and text[at + min(step, 0)].isspace():
        at += step
    return at


def _alike(character: str) -> str:
    return character.translate(_ALIKE).casefold()
