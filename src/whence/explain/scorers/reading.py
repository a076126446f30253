"""A text as words that can be compared: folded, numbers with their units, and what is negated marked.

Negations are English. A cue negates the words after it up to the end of the clause, through short items of a
list (`no fever, chills or cough`); `not`, `absent` and their like negate those before it, too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from itertools import accumulate

import regex  # type: ignore[import-untyped]

from whence.explain.segments import split


def _table(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FORWARD = _table("no without denies denied deny denying nor neither lack lacks lacking absence w/o")
_BOTH = _table("not never none nil absent negative excluded")
_PAIRS = {("negative", "for"): "forward", ("free", "of"): "forward", ("ruled", "out"): "both"}
_SIMPLE = _table("no not never none nil nor neither")  # 'not absent' are two cues: one of these, and another
_ENDS = _table("but however although though except yet while whereas which who because until then")
PLAIN = _table(  # never the only word that a negation is about
    "is are was were be been has have had do does did will can he she they it we i you a an the and or of to"
    " in on at for with by from this that these those there its his her their as than also any"
)
# None of these is in a list of what is negated.
_STATED = PLAIN - _table("a an the and or of in any") | _table(
    "present positive new persistent worsening alert stable well clear normal continue continues continued"
    " start starts started stop stopped take takes took given give received remains denies reports no not"
)
_SMALL = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_COUNTS = {"zero": "0", "one": "1", **{word: str(number) for number, word in enumerate(_SMALL, start=2)}}

UNITS = {
    spelling: unit
    for unit, spellings in {
        "mg": "milligram milligrams mgs", "ug": "mcg μg microgram micrograms", "g": "gm gms gram grams",
        "kg": "kgs kilogram kilograms", "ng": "nanogram nanograms", "pg": "", "lb": "lbs pound pounds",
        "oz": "ounce ounces", "l": "liter liters litre litres", "dl": "", "cl": "",
        "ml": "cc milliliter milliliters millilitre millilitres",
        "μl": "ul", "m": "meter meters metre metres",
        "cm": "centimeter centimeters centimetre centimetres", "mm": "millimeter millimeters",
        "km": "", "ft": "foot feet", "inch": "inches", "m2": "m^2", "cm2": "cm^2", "m3": "m^3", "cm3": "cm^3",
        "s": "sec secs second seconds", "min": "mins minute minutes", "h": "hr hrs hour hours", "ms": "",
        "day": "d days", "week": "wk wks weeks", "month": "mo mos months", "year": "y yr yrs years",
        "%": "percent", "mmhg": "", "cmh2o": "", "bpm": "", "meq": "", "mmol": "", "μmol": "umol",
        "nmol": "", "pmol": "", "mol": "", "iu": "", "u": "unit units", "kcal": "", "cal": "", "kpa": "",
        "°": "degrees degree", "°c": "c celsius", "°f": "f fahrenheit",
        "hz": "", "khz": "", "mhz": "", "gy": "", "mv": "",
        "tablet": "tab tabs tablets", "capsule": "cap caps capsules", "puff": "puffs", "drop": "drops",
        "dose": "doses", "time": "times", "pack": "packs", "k": "thousand", "million": "", "billion": "",
    }.items()
    for spelling in (unit, *spellings.split())
}  # fmt: skip

_PREDICATES = _table("found felt done sick ill known clear")
_JOINING = _table("and but or while")
_COLON, _COMMA, _STOP = 1, 2, 3
"""What may stand between two words: the end of a clause, or less."""

_ANY_UNIT = "|".join(regex.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_ONE_UNIT = rf"(?:{_ANY_UNIT})(?![\p{{L}}\p{{M}}\d])"
_ONE_NUMBER = r"(?:\d{1,3}(?:,\d{3}(?!\d))++(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
# Ranges, ratios, pressures, dates, times, powers: one quantity, of which each part is compared.
_BETWEEN = r"(?:[ ][-/:x×±][ ]|[-/:x×±*.,]|\^-?|[ ](?:to|of|out[ ]of)[ ])"
# Scripts without blanks between words.
_SIGNS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_LETTER = rf"[[\p{{L}}\p{{Nl}}\p{{No}}]--{_SIGNS}]"
_WORD = regex.compile(
    rf"""(?P<word> w/o\b | [a-z]++(?![^\x00-\x7f]) | {_SIGNS}\p{{M}}*+ | {_LETTER}(?:{_LETTER}|\p{{M}})*+ )
       | (?=[\d.<>≤≥$€£¥-])
         (?P<number> (?: (?<![^\s(]) (?:[<>≤≥]=?[ ]?)?-? )? [$€£¥]?
            {_ONE_NUMBER} (?: {_BETWEEN} {_ONE_NUMBER} )*+ )
         (?P<unit> (?: (?:[ -]|[ ]?/)? (?:degrees?[ ](?=[cf]))? {_ONE_UNIT}
            (?: (?:/|[ ]per[ ]) {_ONE_UNIT} )*+ )? )
    """,
    regex.VERBOSE | regex.VERSION1,
)
_PART = regex.compile(rf"\d+(?:\.\d+){{2,}}+|{_ONE_NUMBER}|[^\d\s]")
_ALIKE = ((" to ", "-"), (" out of ", "/"), (" of ", "/"), ("≥", ">="), ("≤", "<="), ("×", "x"), ("*", "x"))
_HARD = regex.compile(r"[.;!?…。；！？؟।|\t()\[\]]|\s[-–—]\s|—")
_SPELLINGS = [
    (regex.compile(pattern, regex.IGNORECASE), instead)
    for pattern, instead in (
        (r"\b(?:can't|cannot)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"(?<=\p{L})n't\b", " not"),
        (r"(?<=\p{L})'s\b", ""),
        (r"\bnon-(?=\p{L})", "non"),
    )
]
# The number of an item of a list, which changes when an item before it is left out.
_NUMBERING = regex.compile(r"^[^\S\n]*\(?\d{1,3}[.)](?=[ \t]+\p{L})", regex.MULTILINE)
_COUNT = regex.compile(
    rf"(?<![\p{{L}}\d-])(?:zero|{'|'.join(_SMALL)}|one(?=[ -]{_ONE_UNIT}))(?![\p{{L}}\d])", regex.IGNORECASE
)
# Before NFKC, which would make `10⁹` 109 and `1½` 11/2.
_RAISED = regex.compile(r"(?<=[\p{L}\d])(?=[⁺⁻]?[²³¹⁰⁴-⁹])(?<![²³¹⁰⁴-⁹⁺⁻])")
_VULGAR = regex.compile(r"(?<=\d)(?=[¼½¾⅐-⅞])")
_GROUPED = regex.compile(r"(?<=\d)[\u202f\u2009\xa0٬](?=\d{3}(?!\d))")
_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", regex.VERSION1)
_ASCII = str.maketrans(
    {"−": "-", "–": "-", "‐": "-", "‑": "-", "⁄": "/", "∕": "/", "٫": ".", "µ": "μ", "’": "'", "‘": "'"}
)
_UNSEEN = regex.compile(r"\p{Cf}+")


def _clean(text: str) -> str:
    """Compatible characters made equal; case is kept, by which sentences are found."""
    if not text.isascii():
        text = text.encode(errors="replace").decode()  # a lone surrogate is no character
        text = _GROUPED.sub("", _VULGAR.sub(" ", _RAISED.sub("^", text)))
        text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text)).translate(_ASCII)
        # `regex` may know digits of a newer Unicode than Python's: they stay as they are.
        text = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0], digit[0])), text)
    for pattern, instead in [(_NUMBERING, ""), *_SPELLINGS]:
        text = pattern.sub(instead, text)
    return str(_COUNT.sub(lambda count: _COUNTS[count[0].lower()], text))


def _quantity(number: str, unit: str) -> str:
    """A number and its unit in one spelling: `1,000.0 milligrams` is `#1000|mg`."""
    parts = []
    if not number.isdecimal():  # as most are
        for written, alike in _ALIKE:
            number = number.replace(written, alike)
    for part in [number] if number.isdecimal() else _PART.findall(number):
        if part.count(".") > 1:  # a version, a date
            parts.append(".".join(piece.lstrip("0") or "0" for piece in part.split(".")))
        elif part[-1].isdigit():
            whole, _, fraction = part.replace(",", "").partition(".")
            fraction = fraction.rstrip("0")
            parts.append((whole.lstrip("0") or "0") + ("." + fraction if fraction else ""))
        else:
            parts.append(part)
    units = unit.strip(" -/").replace(" per ", "/").split("/") if unit else []
    return f"#{' '.join(parts)}|{'/'.join(UNITS[item.split()[-1]] for item in units)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Words without their negations. `lexes`: as they are aligned; `exact`: as they must agree.
    `line`: these as one string, to be searched for words in a row.

    `firsts`: for each word the first of its sentence; `clauses`: the number of its clause. `numbers`,
    `negated`: how many of the words before it, and in the last place how many of all, are such.
    """

    text: str
    line: str
    lexes: list[str]
    exact: list[str]
    firsts: list[int]
    clauses: list[int]
    numbers: list[int]
    negated: list[int]
    cues: frozenset[str]


def read(original: str, *, lead: str = "") -> Reading:
    """The words of a text. `lead`: as if this stood before it in its line, unread."""
    text = lead + _clean(original)
    words: list[str] = []
    edges: list[int] = []
    begins: list[bool] = []
    for start, end in split(text, "sentence"):
        sentence = text[max(start, len(lead)) : end].casefold()
        last = -1
        for match in _WORD.finditer(sentence):
            begins.append(last < 0)
            edges.append(_STOP if last < 0 else _edge(sentence[last : match.start()]))
            last = match.end()
            words.append(match["word"] or _quantity(match["number"], match["unit"]))
    polarity, cues = _negations(words, edges)
    lexes: list[str] = []
    exact: list[str] = []
    firsts: list[int] = []
    clauses: list[int] = []
    first = clause = 0
    for place, word in enumerate(words):
        if begins[place]:
            first = len(lexes)
        clause += edges[place] >= _COMMA or word in _JOINING
        if place not in cues:
            lexes.append("#" if word[0] == "#" else word)
            exact.append(word + "¬" * polarity[place])
            firsts.append(first)
            clauses.append(clause)
    return Reading(
        text=original,
        line="\n".join(["", *exact, ""]),
        lexes=lexes,
        exact=exact,
        firsts=firsts,
        clauses=clauses,
        numbers=[0, *accumulate(lex == "#" for lex in lexes)],
        negated=[0, *accumulate(word[-1] == "¬" for word in exact)],
        cues=frozenset(words[place] for place in cues),
    )


def _edge(between: str) -> int:
    if between == " ":
        return 0
    if _HARD.search(between):
        return _STOP
    return _COMMA if "," in between else _COLON if ":" in between else 0


def _negations(words: list[str], edges: list[int]) -> tuple[list[int], dict[int, tuple[int, bool]]]:
    """For each word 0, 1 (negated) or 2 (`cannot be ruled out`); for each cue that, and if it looks back.

    A `not` between two things looks ahead only: `give 5 mg not 10 mg`.
    """
    cues: dict[int, tuple[int, bool]] = {}
    for place, word in enumerate(words):
        pair = (word, words[place + 1]) if place + 1 < len(words) and not edges[place + 1] else None
        if pair not in _PAIRS and word not in _FORWARD and word not in _BOTH:
            continue
        back = _PAIRS[pair] == "both" if pair in _PAIRS else word in _BOTH
        if word == "not" and pair and place and words[place - 1] not in PLAIN:
            back = pair[1].endswith(("ed", "en", "ing")) or pair[1] in _STATED | _PREDICATES
        near = range(place - 1, max(-1, place - 4), -1)
        undone = word not in _SIMPLE and any(
            words[at] in _SIMPLE and not any(edges[at + 1 : place + 1]) for at in near
        )
        for at in range(place, place + (2 if pair in _PAIRS else 1)):
            cues.setdefault(at, (2 if undone else 1, back))
    polarity = [0] * len(words)
    # Only a cue with no other word in its clause is about `he is`.
    bare = _spread(words, edges, cues, polarity, set(cues), back=False)
    _spread(words, edges, cues, polarity, bare, back=True)
    return polarity, cues


def _spread(
    words: list[str],
    edges: list[int],
    cues: dict[int, tuple[int, bool]],
    polarity: list[int],
    lone: set[int],
    *,
    back: bool,
) -> set[int]:
    """Mark what the cues negate in one direction; those of `lone`, plain words for want of others.

    Returns the cues that found no other.
    """
    bare: set[int] = set()
    cue, degree, plain = -1, 0, list[int]()

    def end() -> None:
        if cue in bare and cue in lone:
            for at in plain:
                polarity[at] = degree

    for at in reversed(range(len(words))) if back else range(len(words)):
        if degree and (_ends_before if back else _ends_after)(words, edges, cues, at, cue in bare):
            end()
            cue, degree = -1, 0
        if at in cues:
            if cues[at][1] or not back:
                cue, degree, plain = at, max(degree, cues[at][0]), []
                bare.add(cue)
        elif degree and words[at] not in PLAIN:
            polarity[at] = max(polarity[at], degree)
            bare.discard(cue)
        elif degree:
            plain.append(at)
    end()
    return bare


def _ends_after(words: list[str], edges: list[int], cues: Container[int], at: int, bare: bool) -> bool:
    """Whether a negation of what is before the word `at` is none of it."""
    edge, word = edges[at], words[at]
    if edge == _COLON and at - 1 in cues:
        edge = 0
    if edge == _COMMA and not bare:
        edge = 0 if _goes_on(words, edges, at) else edge
    following = words[at + 1] if at + 1 < len(words) else ""
    return edge > 0 or word in _ENDS or (word == "and" and following in _STATED)


def _goes_on(words: list[str], edges: list[int], at: int) -> bool:
    """Whether a list of what is negated goes on: by an `or`, or a short item that states nothing."""
    for place in range(at, min(at + 5, len(words))):
        if place > at and edges[place]:
            return True
        if words[place] in ("or", "nor"):
            return True
        if words[place][0] == "#" or words[place] in _STATED or words[place] in _ENDS:
            return False
    return len(words) - at < 5


def _ends_before(words: list[str], edges: list[int], cues: Container[int], at: int, bare: bool) -> bool:
    """Whether a negation of what is after the word `at` is none of it."""
    edge = edges[at + 1]
    return (
        edge > _COLON
        or (edge == _COLON and at + 1 not in cues)
        or words[at] in _ENDS
        or (bare and words[at] in _JOINING)
    )
