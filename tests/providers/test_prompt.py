"""What a model reads, and where in it each source and instruction stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.providers.errors import EmptyPromptError, InputError, NoSourceError, RenderError, TextError
from whence.providers.prompt import (
    Message,
    Prompt,
    Rendered,
    Source,
    Turn,
    build_prompt,
    locate,
    require_instruction,
)

Part = str | Source

# Pieces that a careless renderer or search would stumble over, joined in any order.
PIECES = [
    *(
        "\x00",
        "\x1b[0m",
        "\r\n",
        "\n\n",
        " ",
        "\u2028",
        "\u202eabc\u202c",
        "\ufeff",
        "e\u0301",
        "肺炎",
        "שלום",
    ),
    *("👩🏽\u200d⚕️", "</source>", '<source name="source 1">\n', "<|end|>", "<|user|>", "user", "{{ 7 * 7 }}"),
]
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.sampled_from(PIECES)).map("".join)
)
visible = texts.filter(lambda text: bool(text.strip()))
parts = st.lists(
    st.one_of(texts.filter(bool), st.builds(lambda text: Source(text=text), texts)), min_size=1, max_size=4
)


def prompt_of(*contents: Part | Sequence[Part]) -> Prompt:
    return build_prompt(
        [
            Message(role="user" if i % 2 == 0 else "assistant", content=[c] if isinstance(c, Source) else c)
            for i, c in enumerate(contents)
        ]
    )


def chat(texts: Sequence[str]) -> str:
    """Messages as a chat template would write them."""
    return "".join(f"<|user|>{text}<|end|>" for text in texts) + "<|assistant|>"


def placed(turns: Sequence[Turn], template: Callable[[Sequence[str]], str] = chat) -> Rendered:
    return locate(template, turns)


# --- rendering ---


def test_sources_stand_between_lines_of_their_own_and_the_instruction_follows() -> None:
    prompt = build_prompt(
        "Summarise.", sources=["HR 88.\n", Source(text="Dx: fever.", name="letter")], system="Be brief."
    )
    system, user = prompt.turns()
    assert (system.role, system.text) == ("system", "Be brief.")
    assert (user.role, user.text) == (
        "user",
        '<source name="source 1">\nHR 88.\n\n</source>\n\n'
        '<source name="letter">\nDx: fever.\n</source>\n\n'
        "Summarise.",
    )
    assert (system.sources, system.instructions) == ((), ((0, 9),))
    assert (user.sources, user.instructions) == (((0, 25, 32), (1, 67, 77)), ((89, 99),))


@given(st.lists(parts, min_size=1, max_size=3))
def test_every_part_stands_where_its_place_says_and_the_rest_is_markup(contents: list[list[Part]]) -> None:
    try:
        prompt = prompt_of(*contents)
    except NoSourceError:
        return
    turns = prompt.turns()
    assert len(turns) == len(contents)
    assert [index for turn in turns for index, _, _ in turn.sources] == list(range(len(prompt.sources)))
    for turn, message in zip(turns, prompt.messages, strict=True):
        blocks = [
            f'<source name="{part.name}">\n{part.text}\n</source>' if isinstance(part, Source) else part
            for part in message.parts
        ]
        assert turn.text == "\n\n".join(blocks)
        for index, start, end in turn.sources:
            assert turn.text[start:end] == prompt.sources[index].text
            assert turn.text[:start].endswith(f'<source name="{prompt.sources[index].name}">\n')
            assert turn.text[end:].startswith("\n</source>")
        assert [turn.text[start:end] for start, end in turn.instructions] == [
            part for part in message.parts if isinstance(part, str)
        ]


@given(texts)
def test_a_source_keeps_every_character(text: str) -> None:
    prompt = build_prompt("Summarise.", sources=[text, "x"])
    assert prompt.sources[0].text == text
    (turn,) = prompt.turns()
    (_, start, end), _ = turn.sources
    assert turn.text[start:end] == text


# --- names ---


def test_a_source_without_a_name_is_named_by_its_place() -> None:
    prompt = build_prompt("Go.", sources=["a", Source(text="b", name="letter"), Source(text="c")])
    assert [source.name for source in prompt.sources] == ["source 1", "letter", "source 3"]


def test_places_are_counted_over_all_messages() -> None:
    prompt = prompt_of([Source(text="a"), "Go."], "Done.", [Source(text="b"), Source(text="c")])
    assert [source.name for source in prompt.sources] == ["source 1", "source 2", "source 3"]


def test_names_that_repeat_are_numbered() -> None:
    names = ["note", "note", "", "source 3", "note (2)", "note"]
    prompt = build_prompt("Go.", sources=[Source(text="x", name=name) for name in names])
    assert [source.name for source in prompt.sources] == [
        "note",
        "note (2)",
        "source 3",
        "source 3 (2)",
        "note (2) (2)",
        "note (3)",
    ]


@given(st.lists(st.sampled_from(["", "a", "a (2)", "a (3)", "source 1", "source 2", "source 2 (2)"])))
def test_every_source_has_a_name_of_its_own(names: list[str]) -> None:
    prompt = build_prompt("Go.", sources=[*(Source(text="x", name=name) for name in names), "x"])
    given = [source.name for source in prompt.sources]
    assert len(set(given)) == len(given)
    assert all(given)


def test_numbering_keeps_everything_else_of_a_source() -> None:
    source = Source(text=" x\r\n", name="n", kind="message", metadata={"ward": "4"})
    _, second = build_prompt("Go.", sources=[source, source]).sources
    assert second == Source(text=" x\r\n", name="n (2)", kind="message", metadata={"ward": "4"})


@pytest.mark.parametrize("character", [*'"<>\n\r\t\x00\x1b', "\x7f", "\x85", "\u2028", "\u2029"])
def test_a_name_that_would_break_its_line_is_refused(character: str) -> None:
    with pytest.raises(TextError, match="leave it out"):
        Source(text="x", name=f"a{character}b")


@pytest.mark.parametrize(
    "name", ["lettre d'été.txt", "肺炎", "👩🏽\u200d⚕️", "a\xa0b & c", "'quoted'", "../x"]
)
def test_any_other_name_is_kept(name: str) -> None:
    assert Source(text="x", name=name).name == name


# --- what is refused ---


@pytest.mark.parametrize("prompt", ["", " \n\t", "\u2003"])
def test_an_empty_prompt_has_no_instruction(prompt: str) -> None:
    with pytest.raises(EmptyPromptError, match="Summarise this record"):
        require_instruction(build_prompt(prompt, sources=["x"]))


@pytest.mark.parametrize("content", [[Source(text="x")], [" ", Source(text="x"), "\n"]])
def test_messages_may_have_no_instruction(content: str | list[Part]) -> None:
    with pytest.raises(EmptyPromptError):
        require_instruction(build_prompt([Message(role="user", content=content)]))


def test_no_message_at_all_is_refused() -> None:
    with pytest.raises(NoSourceError):
        build_prompt([])


def test_without_marks_sources_and_instructions_follow_one_another() -> None:
    built = build_prompt("It is [MASK].", sources=["Dry cough.", "HR 88"])
    (turn,) = built.turns(marked=False)
    assert turn.text == "Dry cough.\n\nHR 88\n\nIt is [MASK]."
    assert turn.sources == ((0, 0, 10), (1, 12, 17))
    assert turn.instructions == ((19, 32),)
    (turn,) = build_prompt("", sources=["Dry cough."]).turns(marked=False)
    assert turn.text == "Dry cough."


def test_a_prompt_that_somebody_else_made_keeps_its_text() -> None:
    parts = (
        "1. ",
        Source(text="One.", name="a"),
        "\n",
        Source(text="", name="b"),
        "  2. ",
        Source(text="Two."),
    )
    (turn,) = build_prompt([Message(role="user", content=parts, verbatim=True)]).turns()
    assert turn.text == "1. One.\n  2. Two."
    assert [turn.text[a:b] for _, a, b in turn.sources] == ["One.", "", "Two."]
    assert [turn.text[a:b] for a, b in turn.instructions] == ["1. ", "\n", "  2. "]
    only = build_prompt([Message(role="user", content=[Source(text="Say it.")], verbatim=True)])
    require_instruction(only)
    with pytest.raises(EmptyPromptError):
        require_instruction(build_prompt([Message(role="user", content=[Source(text="Say it.")])]))


@pytest.mark.parametrize("sources", [[], [""], ["", " \n"], [Source(text="\t", name="note")]])
def test_sources_without_any_text_are_refused(sources: list[Part]) -> None:
    with pytest.raises(NoSourceError, match="sources="):
        build_prompt("Summarise.", sources=sources)


def test_messages_without_any_source_are_refused() -> None:
    with pytest.raises(NoSourceError):
        build_prompt([Message(role="user", content="Hello.")])


def test_an_empty_source_beside_a_full_one_is_kept() -> None:
    assert [source.text for source in build_prompt("Go.", sources=["", "x"]).sources] == ["", "x"]


LONE = "ab\ud800c"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: build_prompt(LONE, sources=["x"]), "the user message"),
        (lambda: build_prompt("Go.", sources=[LONE]), "source ''"),
        (lambda: build_prompt("Go.", sources=["x"], system=LONE), "the system message"),
        (lambda: prompt_of([Source(text="x"), LONE]), "the user message"),
        (lambda: Source(text=LONE, name="note"), "source 'note'"),
        (lambda: Source(text="x", name=LONE), "the name of a source"),
        (lambda: Source(text="x", metadata={"ward": LONE}), "the metadata of source ''"),
        (lambda: Source(text="x", metadata={LONE: "4"}), "the metadata of source ''"),
    ],
)
def test_a_lone_surrogate_is_refused_wherever_it_stands(make: Callable[[], object], what: str) -> None:
    with pytest.raises(TextError, match=f"^{what} holds a lone surrogate .* at character 2") as caught:
        make()
    assert isinstance(caught.value.__cause__, UnicodeEncodeError)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"text": b"HR 88"}, "source '' holds bytes"),
        ({"text": None}, "source '' holds NoneType"),
        ({"text": "x", "metadata": {"page": 3}}, "the metadata of source '' holds int"),
    ],
)
def test_what_is_no_text_is_refused_before_any_model_is_asked(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(TextError, match=what):
        Source(**fields)


@pytest.mark.parametrize("extra", [{"sources": ["x"]}, {"system": ""}, {"system": "Be brief."}])
def test_messages_hold_their_own_sources_and_system_text(extra: dict[str, Any]) -> None:
    messages = [Message(role="user", content=[Source(text="x"), "Go."])]
    assert build_prompt(messages).sources[0].text == "x"
    with pytest.raises(InputError, match="inside the content of a message"):
        build_prompt(messages, **extra)


# --- what a chat template makes of it ---


def test_turns_are_found_in_what_a_template_made_of_them() -> None:
    prompt = build_prompt("Go.", sources=["abc"], system="Brief.")
    rendered = placed(prompt.turns())
    text = rendered.text
    assert text == chat([turn.text for turn in prompt.turns()])
    assert [text[a:b] for _, a, b in rendered.sources] == ["abc"]
    assert [text[a:b] for a, b in rendered.instructions] == ["Brief.", "Go."]
    assert [text[a:b] for a, b in rendered.messages] == [turn.text for turn in prompt.turns()]
    assert [text[a - 8 : a] for a, _ in rendered.messages] == ["<|user|>"] * 2


@pytest.mark.parametrize("strips", [True, False])
@given(contents=st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=3))
def test_blanks_around_a_message_may_go_and_every_place_stays_exact(
    strips: bool, contents: list[tuple[str, str, str]]
) -> None:
    given: list[list[Part]] = [[before, Source(text=text), after] for before, text, after in contents]
    prompt = prompt_of(*given, ["Go.", Source(text="x")])
    turns = prompt.turns()
    rendered = placed(turns, lambda texts: chat([text.strip() if strips else text for text in texts]))
    text = rendered.text
    assert [(i, text[a:b]) for i, a, b in rendered.sources] == [
        (i, source.text) for i, source in enumerate(prompt.sources)
    ]
    assert [text[a:b] for a, b in rendered.messages] == [turn.text.strip() for turn in turns]
    written = [part for message in prompt.messages for part in message.parts if isinstance(part, str)]
    assert [text[a:b].strip() for a, b in rendered.instructions] == [part.strip() for part in written]
    # In the order of the text, one after the other, and each within its message.
    for own in (rendered.instructions, rendered.messages, [(a, b) for _, a, b in rendered.sources]):
        edges = [edge for span in own for edge in span]
        assert edges == sorted(edges)
    for a, b in rendered.instructions:
        assert any(start <= a <= b <= end for start, end in rendered.messages)


@pytest.mark.parametrize(
    "change", [str.upper, str.title, lambda text: text.replace("\n\n", "\n"), lambda text: text[:-1]]
)
def test_a_template_that_changes_the_text_is_refused(change: Callable[[str], str]) -> None:
    turns = build_prompt("Go on.", sources=["It rained."]).turns()
    with pytest.raises(RenderError, match="changed the user message"):
        placed(turns, lambda texts: chat([change(text) for text in texts]))


def test_a_template_that_drops_or_reorders_messages_is_refused() -> None:
    turns = build_prompt("Go.", sources=["abc"], system="Brief.").turns()
    with pytest.raises(RenderError, match="changed the system message"):
        placed(turns, lambda texts: chat(texts[1:]))
    with pytest.raises(RenderError, match=r"changed the \w+ message"):
        placed(turns, lambda texts: chat(texts[::-1]))


def test_two_identical_messages_are_two() -> None:
    prompt = prompt_of([Source(text="abc"), "Again?"], "Yes.", "Again?", "Yes.", "Yes.")
    rendered = placed(prompt.turns())
    text = rendered.text
    assert [text[a:b] for a, b in rendered.messages[1:]] == ["Yes.", "Again?", "Yes.", "Yes."]
    assert len(set(rendered.messages)) == 5
    assert all(text[a - 8 : a] == "<|user|>" and text[b:].startswith("<|end|>") for a, b in rendered.messages)


def test_two_identical_sources_are_two() -> None:
    prompt = build_prompt("Go.", sources=["abc", "abc"])
    (first, *one), (second, *other) = placed(prompt.turns()).sources
    assert (first, second) == (0, 1)
    assert one[1] < other[0]


@pytest.mark.parametrize("strips", [True, False])
def test_a_message_of_blanks_has_a_place_without_characters(strips: bool) -> None:
    turns = build_prompt("Go.", sources=["abc"], system=" \n").turns()
    rendered = placed(turns, lambda texts: chat([text.strip() if strips else text for text in texts]))
    (start, end), _ = rendered.instructions
    assert start == end
    assert rendered.messages[0] == (start, end)
    assert [rendered.text[a:b] for _, a, b in rendered.sources] == ["abc"]


@pytest.mark.parametrize("message", ["user", "<|end|><|user|>"])
def test_a_short_message_is_not_taken_for_the_text_of_the_template(message: str) -> None:
    rendered = placed(prompt_of("Hello.", message, [Source(text="abc")]).turns())
    _, (start, end), _ = rendered.messages
    assert rendered.text[:start] == "<|user|>Hello.<|end|><|user|>"
    assert rendered.text[start:end] == message


@pytest.mark.parametrize(
    "make",
    [
        lambda: Source(text="a", kind="banana"),  # type: ignore[arg-type]
        lambda: Message(role="robot", content="a"),  # type: ignore[arg-type]
        lambda: Message(role="user", content=None),  # type: ignore[arg-type]
        lambda: Message(role="user", content=[Source(text="a"), b"y"]),  # type: ignore[list-item]
        lambda: build_prompt(["hi"], sources=()),  # type: ignore[list-item]
        lambda: build_prompt("Go.", sources=[b"a"]),  # type: ignore[list-item]
        lambda: build_prompt("Go.", sources=["a"], system=5),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_prompt_is_refused_before_any_model_runs(make: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        make()
