"""Text as it may be drawn: nothing in it is invisible, and nothing can reorder or restyle the page.

A record is untrusted: a right-to-left override can make "no fever" read as something else, a run of tag
characters can hide an instruction, a NUL ends the string in many a viewer. So each of them is drawn as a
sign that a reader can see (Unicode Technical Report 36, sections 3.1 and 3.6; the signs for C0 are
Unicode's own, U+2400 to U+2421).
"""

from __future__ import annotations

import unicodedata

_LAYOUT = "\n\t"
_JOINERS = "\u200c\u200d"
# Format characters (Cf) that have a shape of their own: Arabic, Syriac and Kaithi number and verse signs.
_SHAPED = frozenset(map(chr, [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD]))
# Invisible without being format characters: joiner, fillers, inherent vowels (Default_Ignorable_Code_Point).
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")


def visible_characters(text: str) -> list[str]:
    """How each character of `text` is drawn, one string for each: offsets into the text stay valid.

    - A line feed and a tab stay, and so does the line end CR LF, whose CR is drawn as nothing.
    - C0 and DEL are drawn as their symbols, such as ␀; C1, bidirectional controls and other invisible
      characters as labels, such as ⟦RLO⟧ or ⟦U+E0041⟧.
    - Joiners stay where they shape letters (Persian, Hindi) or build an emoji, that is, after a character
      beyond ASCII. A variation selector stays where it selects, that is, not after another one.
    """
    drawn = [_draw(character) for character in text]
    for index, character in enumerate(text):
        before = text[index - 1 : index]
        if character == "\r" and text[index + 1 : index + 2] == "\n":
            drawn[index] = ""
        elif (character in _JOINERS and before > "\x7f" and not _is_hidden(before)) or (
            _selects(character) and before and not _selects(before) and not _is_hidden(before)
        ):
            drawn[index] = character
    return drawn


def visible(text: str) -> str:
    """`text` with every invisible character drawn as a sign: see `visible_characters`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(visible_characters(text))


def blanks_visible(text: str) -> str:
    """Blanks, tabs and line ends as signs: for a passage that holds nothing else."""
    return text.replace(" ", "␣").replace("\t", "␉").replace("\n", "␊")


def _draw(character: str) -> str:
    if " " <= character <= "~" or character in _LAYOUT:
        return character
    if character < " ":
        return chr(0x2400 + ord(character))
    if character == "\x7f":
        return "␡"
    if _is_hidden(character) or _selects(character):
        return f"⟦U+{ord(character):04X}⟧"
    return character


def _is_hidden(character: str) -> bool:
    """Format characters, C0, C1, line and paragraph separators, surrogates, fillers: none is seen."""
    if character in _FILLERS:
        return True
    return unicodedata.category(character) in ("Cf", "Cc", "Cs", "Zl", "Zp") and character not in _SHAPED


def _selects(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
