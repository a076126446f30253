"""Overlap of words, in which numbers, units and negations decide.

A target is aligned with the windows of words that overlap it most (F1), where any number matches any and
negations are ignored, so that no window evades a conflict by leaving it out. It then scores that F1 if one of
these windows has the same quantities, of the same words, and the same words negated; else 0. A target of one
sentence is aligned within sentences: in `Aspirin 5 mg. Apixaban 50 mg.` no window says `apixaban 5 mg`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from whence.explain.scorers.reading import PLAIN, UNITS, Reading, read

CAVEAT = (
    "Similarity counts shared words: the same said in other words scores low. A changed, missing or added "
    "number, unit or English negation scores 0; opposites (left and right) are words like any others."
)


class Overlap:
    """The F1 of the words of a target and its best-aligned window; 0 where a number or negation differs."""

    name = "overlap"
    caveats = (CAVEAT,)

    def __init__(self) -> None:
        # The same targets are compared with hundreds of texts. Both halves are replaced in one assignment.
        self._wanted: tuple[tuple[str, ...], list[Reading]] = ((), [])

    def score(self, targets: Sequence[str], text: str) -> list[float]:
        """From 0 to 1. For each target, takes time in proportion to the text."""
        known, wanted = self._wanted
        if known != tuple(targets):
            # A target may begin within a line, and this line be hard-wrapped, which short ones are not.
            wanted = [read(target, lead="x" * 60 + " " if "\n" in target else "") for target in targets]
            self._wanted = (tuple(targets), wanted)
        said = read(text)
        return [_similarity(target, said) for target in wanted]


def _similarity(wanted: Reading, said: Reading) -> float:
    if not wanted.lexes:
        # 'No.' and 'None.' are cues alone; a target without any word is compared by its characters.
        visible = wanted.text.strip()
        found = wanted.cues <= said.cues if wanted.cues else visible != "" and visible in said.text
        return float(found)
    if len(wanted.lexes) == 1 and (found_alone := _alone(wanted.exact[0], said)) is not None:
        return float(found_alone)
    # The same words in a row, each with its number, unit and polarity: nothing is left to differ.
    return 1.0 if wanted.line in said.line else _aligned(wanted, said)


def _alone(word: str, said: Reading) -> bool | None:
    """Whether a part of a quantity or of a cue is said; None for another word.

    Targets may be single words: the rest of `120/80 mmHg`, of `ruled out`, are other targets.
    """
    if word in said.cues:
        return True
    unit = UNITS.get(word)
    if word[-1] != "|" and unit is None:
        return None
    for other in said.exact:
        parts, _, units = other.rstrip("¬").partition("|")
        if unit is None and word[1:-1] in (parts[1:], *parts[1:].split(" ")):
            return True
        if unit is not None and (unit in units.split("/") or UNITS.get(parts) == unit):
            return True
    return False


def _aligned(wanted: Reading, said: Reading) -> float:
    """The score of the windows that overlap most. A target of one sentence looks at a sentence at a time."""
    bag = Counter(wanted.lexes)
    matched = [at for at, lex in enumerate(said.lexes) if lex in bag]
    single = wanted.firsts[-1] == 0
    strange = _strangers(wanted, said, matched, single)
    scopes: dict[int, list[int]] = defaultdict(list)
    for at in matched:
        scopes[said.firsts[at] if single else 0].append(at)
    best, agrees, size = 0.0, False, len(wanted.lexes)
    for scope in sorted(scopes.values(), key=len, reverse=True):
        # Did each of these words count, in a row, would it be enough? For most scopes not.
        most = min(len(scope), size)
        if 2 * most / (size + most) < best:
            break
        score, agree = _slide(wanted, bag, said, scope, strange)
        best, agrees = max((best, agrees), (score, agree))
    return best if agrees else 0.0


def _slide(
    wanted: Reading, bag: Mapping[str, int], said: Reading, scope: list[int], strange: set[int]
) -> tuple[float, bool]:
    """The best F1 of windows of several lengths, and whether one of these agrees with the target.

    A window begins and ends with words of `scope`, the places of words that the target has.
    """
    limit = Counter(wanted.exact)
    size, numbers, negates = len(wanted.lexes), wanted.numbers[-1], wanted.negated[-1] > 0
    span = scope[-1] - scope[0] + 1  # a longer window is the same as one of this length
    words = [(at, said.lexes[at], "" if at in strange else said.exact[at]) for at in scope]
    best, agrees = 0.0, False
    steps = (-2, -1, 0, 1, 2, -(size // 2), -(size // 4), size // 4, size // 2)
    around = {min(span, size + step) for step in steps}
    for length in sorted((length for length in around if length > 0), key=lambda length: abs(length - size)):
        if 2 * length / (size + length) < best:
            continue  # even if all its words were wanted
        have, same = dict.fromkeys(bag, 0), dict.fromkeys(limit, 0)
        left = overlap = agreed = 0
        begin = scope[0]
        for at, lex, exact in words:
            overlap += have[lex] < bag[lex]
            have[lex] += 1
            if exact in same:
                agreed += same[exact] < limit[exact]
                same[exact] += 1
            while begin <= at - length:
                _, gone, gone_exact = words[left]
                have[gone] -= 1
                overlap -= have[gone] < bag[gone]
                if gone_exact in same:
                    same[gone_exact] -= 1
                    agreed -= same[gone_exact] < limit[gone_exact]
                left += 1
                begin = scope[left]
            score = 2 * overlap / (size + at - begin + 1)
            if score > best or (score == best and not agrees):
                best = score
                agrees = (
                    agreed == overlap
                    and said.numbers[at + 1] - said.numbers[begin] == numbers
                    and (said.negated[at + 1] > said.negated[begin]) == negates
                )
    return best, agrees


def _strangers(wanted: Reading, said: Reading, matched: list[int], single: bool) -> set[int]:
    """The quantities of the text that belong to another word than in the target.

    A quantity belongs to the nearest shared word before it in its clause, else after it, else before it in
    its sentence. In the text it may stand elsewhere, but not apart from every shared word while its own is
    there, nor while its own has another quantity: `5 mg` of `aspirin 5 mg daily, apixaban 50 mg daily`.
    """
    if not wanted.numbers[-1]:
        return set()
    owners: dict[str, set[str]] = defaultdict(set)
    for at, beside in _neighbours(
        wanted, range(len(wanted.lexes)), {said.lexes[at] for at in matched}
    ).items():
        owners[wanted.exact[at]].add(next(filter(None, beside), ""))
    present: dict[int, set[str]] = defaultdict(set)
    for at in matched:
        present[said.firsts[at] if single else 0].add(said.lexes[at])
    places = _neighbours(said, matched, set(wanted.lexes))
    taken: dict[int, set[str]] = defaultdict(set)
    for at, beside in places.items():
        taken[said.firsts[at] if single else 0].add(next(filter(None, beside), ""))
    strange = set()
    for at, beside in places.items():
        scope = said.firsts[at] if single else 0
        others = taken[scope] if any(beside) else present[scope]
        own = owners.get(said.exact[at], {""})
        if not any(word == "" or word in beside or word not in others for word in own):
            strange.add(at)
    return strange


def _neighbours(
    reading: Reading, places: Iterable[int], shared: Container[str]
) -> dict[int, tuple[str, str, str]]:
    """For each quantity the nearest shared word before it in its clause, after it, before in its sentence."""
    found: dict[int, tuple[str, str, str]] = {}
    waiting: list[int] = []  # for a word after them
    given: list[int] = []  # have the last word as the one after them
    word, place = "", -1
    for at in places:
        lex = reading.lexes[at]
        if place < reading.firsts[at]:
            word = ""
        if lex == "#":
            near = word if word and reading.clauses[place] == reading.clauses[at] else ""
            # `5 mg apixaban 50 mg`: the word is not that of the first.
            for quantity in given if near else ():
                found[quantity] = (found[quantity][0], "", found[quantity][2])
            found[at] = (near, "", word)
            waiting.append(at)
        elif lex not in PLAIN and lex in shared:
            word, place = lex, at
            given = [quantity for quantity in waiting if reading.clauses[quantity] == reading.clauses[at]]
            waiting = []
            for quantity in given:
                found[quantity] = (found[quantity][0], lex, found[quantity][2])
    return found
