"""Synthetic discharge records whose truth is known.

A `Record` is a list of lines, each a template over `facts`; its summary is derived from the facts that
the lines state. So the sentences of the record that a sentence of the summary rests on are known by
construction, and can be tested: `swapped` changes a fact in its source, `without` removes lines, and
both give a record whose summary is again the true one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from whence.demo import vocabulary as words

Kind = Literal["single", "either", "both", "habit"]
Distractor = Literal["relative", "excluded", "unchanged", "past"]

PROMPT = "Summarise this record."
MIN_SENTENCES = 10
MAX_SENTENCES = 30

HABIT = "Follow-up is in the general clinic in 4 weeks."
"""What the model writes where no follow-up is recorded; about one record in 155 states just this."""

PARAGRAPHS = ("opening", "history", "findings", "course", "plan")

# What can be swapped, and the class it is drawn from.
FACTS: dict[str, tuple[str, ...]] = {
    "age": tuple(str(years) for years in range(21, 96)),
    "disease": words.DISEASES,
    "started": words.DRUGS,
    "dose": tuple(str(mg) for mg in words.DOSES_MG),
    "stopped": words.DRUGS,
    "reason": words.REASONS,
    "allergen": words.ALLERGENS,
    "clinic": words.CLINICS,
    "weeks": tuple(str(weeks) for weeks in words.WEEKS),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One sentence of a record: `template` over the record's facts, and what it `states`, if anything."""

    template: str
    paragraph: str
    states: str | None = None
    distractor: Distractor | None = None


@dataclass(frozen=True, kw_only=True)
class Support:
    """The truth about one sentence of the summary.

    `start`, `end`: characters of the summary. `sufficient`: alternatives, each a tuple of indices into
    `Record.lines` that together carry the sentence; two alternatives where the fact is stated twice,
    one of two lines where both are needed, none where the sentence rests on nothing.
    `facts`: the names of the facts that the sentence repeats.
    """

    start: int
    end: int
    text: str
    kind: Kind
    sufficient: tuple[tuple[int, ...], ...]
    facts: tuple[str, ...]

    @property
    def lines(self) -> frozenset[int]:
        """Every line that the sentence rests on."""
        return frozenset(index for group in self.sufficient for index in group)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record, its summary, and the truth between them."""

    facts: Mapping[str, str]
    lines: tuple[Line, ...]

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The (start, end) of each line, in characters of `text`."""
        spans: list[tuple[int, int]] = []
        at = 0
        for line in self.lines:
            length = len(line.template.format_map(self.facts))
            spans.append((at, at + length))
            at += length + 1
        return tuple(spans)

    @cached_property
    def text(self) -> str:
        """The record: paragraphs on lines of their own, sentences separated by a blank."""
        parts: list[str] = []
        for before, line in zip((None, *self.lines), self.lines, strict=False):
            if before is not None:
                parts.append(" " if before.paragraph == line.paragraph else "\n")
            parts.append(line.template.format_map(self.facts))
        return "".join(parts)

    @cached_property
    def truth(self) -> tuple[Support, ...]:
        """One `Support` for each sentence of the summary, in order."""
        supports: list[Support] = []
        at = 0
        for text, kind, sufficient, facts in self._sentences():
            supports.append(
                Support(
                    start=at, end=at + len(text), text=text, kind=kind, sufficient=sufficient, facts=facts
                )
            )
            at += len(text) + 1
        return tuple(supports)

    @property
    def summary(self) -> str:
        """The true summary of what the lines state."""
        return " ".join(support.text for support in self.truth)

    @property
    def distractors(self) -> dict[int, Distractor]:
        """Lines that resemble a source but are none, by index."""
        return {i: line.distractor for i, line in enumerate(self.lines) if line.distractor is not None}

    def swapped(self, fact: str, value: str) -> Record:
        """The same record with one fact changed wherever a line states it."""
        if fact not in FACTS:
            raise ValueError(f"unknown fact {fact!r}; choose one of {', '.join(FACTS)}")
        return replace(self, facts={**self.facts, fact: value})

    def without(self, indices: Iterable[int]) -> Record:
        """The same record with some lines removed; its summary says only what is left."""
        removed = set(indices)
        return replace(self, lines=tuple(line for i, line in enumerate(self.lines) if i not in removed))

    def _stating(self, what: str) -> tuple[int, ...]:
        return tuple(i for i, line in enumerate(self.lines) if line.states == what)

    def _sentences(self) -> Iterable[tuple[str, Kind, tuple[tuple[int, ...], ...], tuple[str, ...]]]:
        yield self._stated(
            "patient", "The patient is a {age}-year-old {person}.", "The patient is not described.", "age"
        )
        yield self._stated(
            "disease", "The diagnosis is {disease}.", "The diagnosis is not recorded.", "disease"
        )
        started, dose = self._stating("started"), self._stating("dose")
        if started and dose:
            text = "Started on {started} at {dose} mg.".format_map(self.facts)
            yield text, "both", ((*started, *dose),), ("started", "dose")
        else:
            yield self._stated(
                "started",
                "Started on {started} at an unknown dose.",
                "No new medicine is recorded.",
                "started",
            )
        yield self._stated(
            "stopped", "Stopped {stopped} because of {reason}.", "No stop is recorded.", "stopped", "reason"
        )
        yield self._stated("allergen", "Allergic to {allergen}.", "No allergy is recorded.", "allergen")
        yield self._stated(
            "follow-up", "Follow-up is in the {clinic} clinic in {weeks} weeks.", HABIT, "clinic", "weeks"
        )

    def _stated(
        self, what: str, template: str, otherwise: str, *facts: str
    ) -> tuple[str, Kind, tuple[tuple[int, ...], ...], tuple[str, ...]]:
        lines = self._stating(what)
        if not lines:
            return otherwise, "habit", (), ()
        kind: Kind = "single" if len(lines) == 1 else "either"
        return template.format_map(self.facts), kind, tuple((i,) for i in lines), facts


def generate(seed: int, *, sentences: int | None = None) -> Record:
    """Write the record that belongs to `seed`.

    `sentences`: how many, at least 10; by default between 10 and 30, drawn from the seed.
    The same seed and number give the same record on every machine.
    """
    rng = random.Random(seed)
    wanted = rng.randint(MIN_SENTENCES, MAX_SENTENCES) if sentences is None else sentences
    if wanted < MIN_SENTENCES:
        raise ValueError(f"a record has at least {MIN_SENTENCES} sentences, not {wanted}")
    required, optional = _stating_lines(rng)
    lines = (required + optional)[:wanted]
    lines += _fillers(rng, wanted - len(lines))
    rng.shuffle(lines)
    lines.sort(key=lambda line: (PARAGRAPHS.index(line.paragraph), line is not _PATIENT))
    return Record(facts=_facts(rng), lines=tuple(lines))


def _facts(rng: random.Random) -> dict[str, str]:
    """Every value that a line may state: true ones and those of the distractors, all different."""
    facts = {name: rng.choice(values) for name, values in FACTS.items()}
    facts["started"], facts["stopped"], facts["unchanged"] = rng.sample(words.DRUGS, 3)
    facts["disease"], facts["relative_disease"], facts["excluded"] = rng.sample(words.DISEASES, 3)
    facts["dose"], facts["unchanged_dose"] = rng.sample(FACTS["dose"], 2)
    facts["clinic"], facts["past_clinic"] = rng.sample(words.CLINICS, 2)
    facts["weeks"], facts["past_weeks"] = rng.sample(FACTS["weeks"], 2)
    facts["relative"] = rng.choice(words.RELATIVES)
    facts["name"] = rng.choice(words.SURNAMES)
    facts["title"], facts["person"] = rng.choice((("Mrs.", "woman"), ("Ms.", "woman"), ("Mr.", "man")))
    return facts


def _stating_lines(rng: random.Random) -> tuple[list[Line], list[Line]]:
    """The lines that every record has (at most 10), and those that it has if there is room."""
    disease = rng.sample(_DISEASE, 2)
    allergen = rng.sample(_ALLERGEN, 2)
    required = [
        _PATIENT,
        disease[0],
        rng.choice(_STARTED),
        rng.choice(_DOSE),
        rng.choice(_STOPPED),
        allergen[0],
        rng.choice(_RELATIVE),
        rng.choice(_EXCLUDED),
        rng.choice(_UNCHANGED),
    ]
    if rng.random() < 0.75:
        required.append(rng.choice(_FOLLOW_UP))
    candidates = [disease[1], allergen[1], rng.choice(_UNCHANGED_DOSE), rng.choice(_PAST)]
    optional = [line for line in candidates if rng.random() < 0.5]
    rng.shuffle(optional)
    return required, optional


def _fillers(rng: random.Random, count: int) -> list[Line]:
    """Lines that no sentence of the summary rests on; none repeats before all were used."""
    templates = [(paragraph, text) for paragraph, texts in words.FILLERS.items() for text in texts]
    lines: list[Line] = []
    while len(lines) < count:
        rng.shuffle(templates)
        lines += [
            Line(template=text.format_map(_numbers(rng)), paragraph=paragraph)
            for paragraph, text in templates[: count - len(lines)]
        ]
    return lines


def _numbers(rng: random.Random) -> dict[str, str]:
    return {
        "relative": rng.choice(words.RELATIVES),
        "name": rng.choice(words.SURNAMES),
        "small": str(rng.randint(2, 12)),
        "systolic": str(rng.randint(100, 170)),
        "diastolic": str(rng.randint(55, 95)),
        "rate": str(rng.randint(50, 120)),
        "degrees": f"{rng.randint(36, 39)}.{rng.randint(0, 9)}",
        "ph": f"7.{rng.randint(28, 48)}",
        "saturation": str(rng.randint(90, 100)),
        "decimal": f"{rng.randint(3, 9)}.{rng.randint(0, 9)}",
    }


_PATIENT = Line(
    template="{title} {name} is a {age}-year-old {person}.", paragraph="opening", states="patient"
)
# Stated twice, in two paragraphs, where a record has both: either suffices.
_DISEASE = (
    Line(template="The patient was admitted with {disease}.", paragraph="opening", states="disease"),
    Line(template="The final diagnosis was {disease}.", paragraph="plan", states="disease"),
)
_ALLERGEN = (
    Line(template="The patient is allergic to {allergen}.", paragraph="history", states="allergen"),
    Line(template="Please avoid {allergen} in future.", paragraph="plan", states="allergen"),
)
# Needed together: the medicine in one, its dose in the other.
_STARTED = (
    Line(template="Started on {started}.", paragraph="course", states="started"),
    Line(template="The team began {started}.", paragraph="course", states="started"),
)
_DOSE = (
    Line(template="The new tablets contain {dose} mg each.", paragraph="plan", states="dose"),
    Line(template="The new medicine is taken as {dose} mg a day.", paragraph="course", states="dose"),
)
_STOPPED = (
    Line(template="Stopped taking {stopped} because of {reason}.", paragraph="course", states="stopped"),
    Line(template="The team withdrew {stopped} because of {reason}.", paragraph="course", states="stopped"),
)
_FOLLOW_UP = (
    Line(
        template="Follow-up is planned in the {clinic} clinic in {weeks} weeks.",
        paragraph="plan",
        states="follow-up",
    ),
    Line(
        template="Please attend the {clinic} clinic in {weeks} weeks.", paragraph="plan", states="follow-up"
    ),
)
_RELATIVE = (
    Line(
        template="The patient's {relative} has {relative_disease}.",
        paragraph="history",
        distractor="relative",
    ),
    Line(
        template="The patient's {relative} was treated for {relative_disease}.",
        paragraph="history",
        distractor="relative",
    ),
)
_EXCLUDED = (
    Line(template="Tests ruled out {excluded}.", paragraph="findings", distractor="excluded"),
    Line(template="There was no sign of {excluded}.", paragraph="findings", distractor="excluded"),
)
_UNCHANGED = (
    Line(template="Continued {unchanged} as before.", paragraph="course", distractor="unchanged"),
    Line(template="The team left {unchanged} unchanged.", paragraph="course", distractor="unchanged"),
)
_UNCHANGED_DOSE = (
    Line(
        template="The usual tablets contain {unchanged_dose} mg each.",
        paragraph="plan",
        distractor="unchanged",
    ),
    Line(
        template="The usual medicine is taken as {unchanged_dose} mg a day.",
        paragraph="course",
        distractor="unchanged",
    ),
)
_PAST = (
    Line(
        template="Last seen in the {past_clinic} clinic {past_weeks} weeks ago.",
        paragraph="history",
        distractor="past",
    ),
    Line(
        template="Discharged from the {past_clinic} clinic {past_weeks} weeks ago.",
        paragraph="history",
        distractor="past",
    ),
)
