"""Words that are shared count; a number, a unit or a negation decides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.demo.records import generate
from whence.explain.scorers import get_scorer
from whence.explain.scorers.overlap import Overlap
from whence.explain.segments import split


def similarity(target: str, text: str) -> float:
    return get_scorer("overlap").score([target], text)[0]


SAID = [
    # how numbers and units are written
    ("5 mg", "5mg"),
    ("5.0 mg", "5 mg"),
    (".5 mg", "0.5 mg"),
    ("1,000 mL", "1000 ml"),
    ("10 mcg", "10 µg"),
    ("10 micrograms", "10 μg"),
    ("for 3 weeks", "for three week"),
    ("one tablet", "1 tab"),
    ("2 hrs", "2-hour"),
    ("65-year-old man", "a 65 year old man"),
    ("5-10 mg", "5 to 10 mg"),
    ("5–10 mg", "5 - 10mg"),
    ("12/03/2024", "on 12/3/2024"),
    ("10⁹/L", "10^9/L"),
    ("٥ mg", "5 mg"),
    ("Temperature -5 °C", "temperature −5 ℃"),
    ("40 percent", "40%"),
    ("pain 7/10", "pain 7 out of 10"),
    ("5 mg/day", "5 mg per day"),
    # how negations are written
    ("No fever or cough.", "He has no fever or cough."),
    ("denies chest pain", "no chest pain"),
    ("No fever, cough", "no fever, no cough"),
    ("didn’t improve", "did not improve"),
    ("can't walk", "cannot walk"),
    ("fever not noted", "no fever noted"),
    ("Blood cultures negative", "blood cultures: negative"),
    # where it stands
    ("fever", "FEVER!"),
    ("Apixaban 5 mg.", "Aspirin 50 mg. Apixaban 5 mg."),
    ("Apixaban 5 mg and aspirin 10 mg", "aspirin 10 mg and apixaban 5 mg"),
    ("BP 120/80 mmHg", "| BP | 120/80 mmHg |\n| HR | 70 bpm |"),
    ("- apixaban 5 mg", "Medicines:\n- aspirin 100 mg\n- apixaban 5 mg\n"),
    ("1. Apixaban 5 mg", "1. Aspirin 100 mg\n2. Apixaban 5 mg"),
    (
        "It showed no evidence of acute\npulmonary embolism.",
        "A CT of the chest was made on admission. It showed no evidence of acute\npulmonary embolism.",
    ),
    # a target of one word, the rest of whose quantity is another target
    ("5", "5 mg"),
    ("mg.", "5 mg"),
    ("120/", "BP 120/80 mmHg"),
    ("ruled ", "PE was ruled out"),
    ("No ", "no fever"),
    ("None.", "Allergies: none"),
    # no words, or words without blanks between
    ("患者服用阿司匹林", "今天患者服用阿司匹林。"),
    ("👍", "ok 👍"),
    ("!!!", "wow!!!"),
    ("</script>", "a </script> b"),
    ("حمى", "لديه \u202bحمى\u202c"),
]

NOT_SAID = [
    # numbers
    ("5 mg", "50 mg"),
    ("5 mg", "5-10 mg"),
    ("5-10 mg", "5 mg"),
    (".5 mg", "5 mg"),
    ("-5 C", "5 C"),
    ("<5", "> 5"),
    ("1:2", "2:1"),
    ("BP 120/80", "BP 80/120"),
    ("12/03/2024", "03/12/2024"),
    ("1.20.3", "1.2.3"),
    ("10⁹/L", "109/L"),
    ("1½ tablets", "11/2 tablets"),
    ("two stents", "three stents"),
    ("vitamin B12", "vitamin B6"),
    ("Metoprolol was continued", "Metoprolol 25 mg was continued"),
    ("Apixaban 5 mg daily", "Apixaban daily"),
    # whose number it is
    ("Apixaban 5 mg.", "Aspirin 5 mg. Apixaban 50 mg."),
    ("Apixaban 5 mg", "Aspirin 5 mg, apixaban 50 mg"),
    ("Apixaban 5 mg", "Aspirin 5 mg and apixaban were given"),
    ("Apixaban 5 mg twice daily", "Aspirin 5 mg twice daily, apixaban 50 mg twice daily"),
    ("Aspirin 5 mg and apixaban 10 mg", "Aspirin 10 mg and apixaban 5 mg"),
    ("Aspirin 10 mg. Apixaban 5 mg.", "Aspirin 5 mg. Apixaban 10 mg."),
    ("3 stents and 2 grafts", "2 stents and 3 grafts"),
    ("3 stents 2 grafts", "2 stents 3 grafts"),
    ("Apixaban 5 mg", "aspirin 5 mg apixaban 50 mg"),
    ("3 of 5 pills", "5 of 3 pills"),
    # units
    ("5 mg", "5 g"),
    ("5 mcg", "5 mg"),
    ("5 mg", "5"),
    ("5%", "5"),
    ("38 C", "38 F"),
    ("3 weeks", "3 days"),
    ("$5", "€5"),
    ("5 million", "5 billion"),
    # negations
    ("no fever", "fever"),
    ("fever", "no fever"),
    ("has fever", "has no fever and no cough"),
    ("has no fever and no cough", "has fever"),
    ("chest pain", "denies chest pain"),
    ("denies chest pain", "chest pain"),
    ("fever", "no cough, chills, or fever"),
    ("fever", "Denies: fever"),
    ("fever", "fever was not noted"),
    ("fever", "fever and chills absent"),
    ("He has fever", "He doesn't have fever"),
    ("Stop aspirin", "Do not stop aspirin"),
    ("Give 5 mg not 10 mg", "Give 10 mg not 5 mg"),
    ("COVID: negative", "COVID: positive"),
    ("negative for PE", "positive for PE"),
    ("PE", "PE ruled out"),
    ("PE ruled out", "PE cannot be ruled out"),
    ("PE", "PE cannot be ruled out"),
    ("Allergies: none", "Allergies"),
    ("smoker", "non-smoker"),
    ("embolism", "A CT of the chest was made on admission. It showed no evidence of\nembolism."),
    ("He is not.", "He is."),
    ("No fever", "No cough. He has fever"),
    # nothing shared, or nothing at all
    ("afebrile", "cough"),
    ("fever", ""),
    ("", "fever"),
    (" \n", "fever"),
    ("👍", "👎"),
]


@pytest.mark.parametrize(("target", "text"), SAID)
def test_what_is_said_scores_one(target: str, text: str) -> None:
    assert similarity(target, text) == 1


@pytest.mark.parametrize(("target", "text"), NOT_SAID)
def test_what_is_not_said_scores_zero(target: str, text: str) -> None:
    assert similarity(target, text) == 0


@pytest.mark.parametrize(
    ("target", "text", "expected"),
    [
        ("alpha beta gamma", "alpha beta", 2 * 2 / 5),
        ("alpha beta", "alpha one beta", 2 * 2 / 5),
        ("alpha alpha beta", "alpha beta", 2 * 2 / 5),
        ("Apixaban 5 mg", "Eliquis 5 mg", 2 * 1 / 3),
        ("The patient is a 65-year-old man", "The patient is a man of 65 years", 2 * 6 / 14),
        ("He has no pain", "He is in no pain", 2 * 2 / 7),
    ],
)
def test_words_that_are_shared_in_part_score_their_f1(target: str, text: str, expected: float) -> None:
    assert similarity(target, text) == pytest.approx(expected)


def test_every_target_has_its_own_score() -> None:
    scorer = Overlap()
    assert scorer.score(["No fever.", "Cough.", "x"], "No fever. Cough.") == [1, 1, 0]
    assert scorer.score(["Cough.", "No fever."], "Fever. Cough.") == [1, 0]
    assert scorer.score([], "Fever.") == []


@given(text=st.text(), targets=st.lists(st.text(), max_size=3))
def test_a_score_lies_between_zero_and_one(text: str, targets: list[str]) -> None:
    assert all(0 <= score <= 1 for score in Overlap().score(targets, text))


@given(seed=st.integers(0, 200), before=st.text(max_size=30), after=st.text(max_size=30))
def test_what_stands_verbatim_in_lines_of_its_own_is_said(seed: int, before: str, after: str) -> None:
    record = generate(seed).text
    sentences = [record[start:end].strip() for start, end in split(record, "sentence")]
    text = "\n\n".join([before, *sentences, after])
    assert set(Overlap().score(sentences, text)) == {1.0}


NAMES = st.sampled_from(["aspirin", "apixaban", "metoprolol", "heparin"])
DOSES = st.integers(1, 500)


@given(name=NAMES, dose=DOSES, other=DOSES, tail=st.sampled_from(["", " daily", " by mouth at night"]))
def test_a_number_that_differs_scores_zero(name: str, dose: int, other: int, tail: str) -> None:
    expected = float(dose == other)
    assert similarity(f"{name} {dose} mg{tail}", f"Today {name} {other} mg{tail}.") == expected


@given(
    doses=st.dictionaries(NAMES, DOSES, min_size=1),
    separator=st.sampled_from([". ", "\n", ", ", "; ", " and "]),
)
def test_each_medicine_of_a_list_has_its_own_dose(doses: dict[str, int], separator: str) -> None:
    text = separator.join(f"{name} {dose} mg daily" for name, dose in doses.items())
    for name in doses:
        for dose in doses.values():
            assert similarity(f"{name} {dose} mg daily", text) == float(doses[name] == dose)


FINDINGS = st.lists(st.sampled_from(["fever", "cough", "rash", "pain", "nausea"]), unique=True, min_size=2)


@given(findings=FINDINGS, cue=st.sampled_from(["no", "denies", "without", "negative for"]))
def test_a_cue_negates_every_item_of_its_list(findings: list[str], cue: str) -> None:
    text = f"The patient today: {cue} {', '.join(findings[:-1])} or {findings[-1]}."
    for finding in findings:
        assert similarity(finding, text) == 0
        assert similarity(f"no {finding}", text) == 1


HOSTILE = [
    "</script>",
    "\u202eabc\u202c",
    "\0",
    "e\u0301" * 50,
    "👨\u200d👩\u200d👧",
    "\ud800",
    "½",
    "\U00011bf0",  # a digit of Unicode 16
    "①",
    "Ⅳ",
    "İ",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_said_by_itself(text: str) -> None:
    assert similarity(text, f"before {text} after") == 1


@pytest.mark.parametrize(
    "piece",
    ["fever ", "no ", "no fever, ", "5 mg ", "1,234", "1-", "9", "a", "!?", "发烧", "not ", ". ", "'s n't "],
)
def test_long_and_monotonous_text_takes_time_in_proportion(piece: str) -> None:
    text = piece * (20_000 // len(piece.split() or piece))
    scores = Overlap().score([text + "x y", "fever and 5 mg"], text)
    assert all(0 <= score <= 1 for score in scores)


def test_a_hundred_thousand_words_are_read() -> None:
    text = "The patient has a cough and takes 5 mg of it daily. " * 8_500 + "Apixaban 7 mg. No rash."
    scores = Overlap().score(["Apixaban 7 mg.", "No rash.", "Apixaban 5 mg.", "rash"], text)
    assert scores == [1, 1, 0, 0]


def test_threads_may_share_a_scorer() -> None:
    scorer = Overlap()
    lists = [["fever"], ["no fever", "cough"], ["cough"] * 3]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda targets: scorer.score(targets, "No fever. Cough."), lists * 50))
    assert found == [[0], [1, 1], [1, 1, 1]] * 50
