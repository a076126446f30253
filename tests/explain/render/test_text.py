"""The plain text, and the terminal."""

import io
import re
import unicodedata
from collections.abc import Callable

import pytest
from rich.console import Console

from whence.explain.render import scale
from whence.explain.render.text import to_terminal, to_text
from whence.explain.render.visible import visible
from whence.explain.schema import Explanation, Segment, SourceRecord

SGR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(explanation: Explanation, *, width: int = 200) -> str:
    """What a terminal with colours receives."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=width, no_color=False)
    console.print(to_terminal(explanation))
    return file.getvalue()


def test_plain_text_has_no_control_characters(hostile: str, filled: Callable[[str], Explanation]) -> None:
    text = to_text(filled(hostile))
    assert not [c for c in text if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    assert visible(hostile).strip().split("\n")[0] in text


def test_a_terminal_receives_colours_and_no_other_escape(
    hostile: str, filled: Callable[[str], Explanation]
) -> None:
    text = on_terminal(filled(hostile))
    assert SGR.search(text)
    assert not [c for c in SGR.sub("", text) if unicodedata.category(c) == "Cc" and c != "\n"]


def test_the_plain_text_says_all_that_must_be_in_sight(compared: Explanation) -> None:
    text = to_text(compared)
    assert "descriptive: where the model looked, not why it answered" in text.split("\n\n")[0]
    for target in range(len(compared.output.targets)):
        assert compared.target_text(target).strip() in text
        for passage in compared.top(target):
            assert f"{passage.text.strip()}  (admission note)" in text
    assert text.count("elsewhere: ") == 2 * len(compared.output.targets)
    assert text.count("where idle attention rests") == len(compared.output.targets)
    assert "Passed over   attention: the provider does not show its weights" in text
    assert "Fidelity: 1.25 nats (k = 1); 2.5 nats (k = 3)" in text
    assert text.endswith("taking one away leaves the other.\n")
    assert all(caveat in text for result in compared.results for caveat in result.caveats)


def test_k_says_how_many_passages_are_listed(explanation: Explanation) -> None:
    targets = len(explanation.output.targets)
    assert to_text(explanation, k=1).count("(admission note)") == targets
    assert to_text(explanation, k=2).count("(admission note)") == 2 * targets
    with pytest.raises(ValueError, match="k is 0"):
        to_text(explanation, k=0)


def test_lines_of_a_passage_cannot_pass_for_lines_of_ours(build: Callable[..., Explanation]) -> None:
    text = to_text(build([("note", "cough\n100 %  elsewhere")]))
    assert "\n100 %" not in text
    assert f"\n{' ' * 14}100 %  elsewhere" in text


def test_a_word_stands_in_brackets_in_its_line(build: Callable[..., Explanation]) -> None:
    made = build(
        [("note", "Take 30 mg daily.")],
        segment_starts=[[0, 5, 8, 11]],
        segment_kind="word",
        values=[[0, 0.5, 0, 0]],
    )
    assert "Take [30] mg daily.  (note)" in to_text(made)


def test_the_text_says_when_an_output_was_cut_or_given(build: Callable[..., Explanation]) -> None:
    assert "cut off at the length limit" in to_text(build(finish="length"))
    assert "was given" in to_text(build(given=True, finish=None))


def test_a_terminal_shows_every_passage_and_the_record_in_shades(explanation: Explanation) -> None:
    text = on_terminal(explanation)
    plain = " ".join(SGR.sub("", text).split())  # the record is wrapped
    targets = len(explanation.output.targets)
    assert plain.count(explanation.segment_text(0).strip()) >= targets, "the record stands under each target"
    for target in range(targets):
        for passage in explanation.top(target):
            assert plain.count(passage.text.strip()) >= targets + 1
    strongest = explanation.top(3, 1)[0]
    assert strongest.share > 0.5
    assert re.search(r"\x1b\[[0-9;]*48;2;85;155;217m" + re.escape(strongest.text.strip()), text)
    assert plain.rstrip().endswith(explanation.results[0].caveats[-1])


def test_each_target_shades_the_record_by_its_own_shares_of_the_primary_method(compared: Explanation) -> None:
    shown = on_terminal(compared)
    passages = [i for i, _ in enumerate(compared.segments)]
    record = "".join(compared.segment_text(i) for i in passages).split("\n")[0]
    backgrounds = ("230;241;250", "205;227;245", "169;207;238", "125;180;227", "85;155;217")
    first = compared.segment_text(0).strip()
    assert record.startswith(first)
    # Under each target the record begins with the first passage, in the shade of its share for that target.
    shades = [scale.step(share) for share in compared.shares(0)[:, 0]]
    assert len(set(shades)) > 1, "the targets differ, or this test would find nothing"
    heads = re.findall(rf"admission note\x1b\[0m\s*\n((?:\x1b\[[0-9;]*m)?){re.escape(first)}", shown)
    shown_shades = [next((n for n, b in enumerate(backgrounds, 1) if b in head), 0) for head in heads]
    assert shown_shades == shades


def test_without_colour_the_upper_steps_are_still_underlined(explanation: Explanation) -> None:
    file = io.StringIO()
    Console(file=file, force_terminal=True, no_color=True, width=200).print(to_terminal(explanation))
    strongest = explanation.top(3, 1)[0].text.strip()
    assert f"\x1b[1;4m{strongest}\x1b[0m" in file.getvalue()


def test_a_narrow_terminal_loses_nothing_of_a_long_token(build: Callable[..., Explanation]) -> None:
    plain = SGR.sub("", on_terminal(build([("note", "x" * 10_000)]), width=40))
    assert plain.count("x") >= 10_000 + 600
    assert max(map(len, plain.split("\n"))) <= 40


def test_regions_of_an_image_stand_with_their_numbers(build: Callable[..., Explanation]) -> None:
    image = SourceRecord(id="x", name="X-ray", kind="image", media_type="image/png", sha256="ab")
    regions = tuple(Segment(source="x", kind="region", box=(0, 0, 1, n)) for n in (1, 2))
    made = build(sources=(image,), segments=regions, values=[[0.5, 0.0]], prompt=_prompt())
    plain = SGR.sub("", on_terminal(made))
    record = plain.split("X-ray")[-1]
    assert "the region from (0, 0) to (1, 1), in pixels" in record
    assert "the region from (0, 0) to (1, 2), in pixels" in record


def _prompt() -> object:
    return {"instruction": "Describe.", "messages": []}
