"""What becomes a source, and in which of them each retrieved document stands; no model is asked."""

from __future__ import annotations

import json

import pytest

from whence.api.langchain.retelling import Chunk, Retold, retell
from whence.api.langchain.said import Call, Document, Said

ALPHA = Document(text="Take alpha daily with a large glass of water after every breakfast.", name="alpha")
GAMMA = Document(text="The scan shows gamma in the upper lobe of the left lung.", name="gamma")
LONG = Document(text=" ".join(f"word{n}" for n in range(120)), name="long")


def human(*parts: str | Document, left_out: tuple[str, ...] = ()) -> Said:
    return Said(role="user", kind="human", parts=parts, left_out=left_out)


def sources(retold: Retold) -> list[tuple[str, str]]:
    return [
        (part.name, part.text)
        for message in retold.messages
        for part in message.parts
        if not isinstance(part, str)
    ]


def test_a_text_retrieved_twice_is_one_chunk_with_all_that_is_told_of_it() -> None:
    again = Document(text=f"{ALPHA.text}\n", metadata={"page": "3"}, score=0.5)
    first = Document(text=ALPHA.text, name="alpha", metadata={"page": "2", "source": "a"})
    (chunk, other) = retell([human(ALPHA.text, GAMMA.text)], [first, GAMMA, again]).chunks
    assert chunk.document == Document(
        text=ALPHA.text, name="alpha", metadata={"page": "2", "source": "a"}, score=0.5
    )
    assert (chunk.coverage, chunk.sources, other.sources) == (1.0, (0,), (1,))


def test_documents_within_one_block_are_told_apart() -> None:
    block = Document(text=f"{ALPHA.text}\n\n{GAMMA.text}", name="record")
    retold = retell([human(block, "Summarise.")], [ALPHA, GAMMA])
    assert sources(retold) == [("record", block.text)]
    edge = len(ALPHA.text)
    assert [(chunk.sources, chunk.within) for chunk in retold.chunks] == [
        ((0,), ((0, 0, edge),)),
        ((0,), ((0, edge + 2, len(block.text)),)),
    ]
    assert retell([human(ALPHA)], [ALPHA]).chunks[0].within == ()


def test_a_document_in_two_pieces_is_as_much_there_as_both() -> None:
    words = LONG.text.split()
    other = " ".join(f"other{n}" for n in range(30))
    (chunk,) = retell([human(f"{' '.join(words[:60])} {other} {' '.join(words[60:])}")], [LONG]).chunks
    assert (chunk.coverage, chunk.places) == (1.0, 2)
    (chunk,) = retell([human(LONG.text), human(LONG.text)], [LONG]).chunks
    assert (chunk.coverage, chunk.places) == (1.0, 2)


def test_a_block_that_cannot_be_read_keeps_its_place_and_is_no_source() -> None:
    pdf = Document(text="", name="scan.pdf", readable=False)
    retold = retell([human(pdf, GAMMA, left_out=("document",))], [ALPHA, GAMMA])
    assert retold.brought == ((None, pdf), (0, GAMMA))
    assert sources(retold) == [("gamma", GAMMA.text)]
    assert retold.left_out == ("document",)
    # It may hold what was not found elsewhere.
    assert [chunk.unread for chunk in retold.chunks] == [("document",), ()]


def test_a_call_of_a_tool_puts_nothing_before_the_model() -> None:
    call = Call(f'search({{"q": "{ALPHA.text}"}})')
    result = json.dumps([{"page_content": GAMMA.text}])
    said = [
        human("The record says delta. Look it up."),
        Said(role="assistant", kind="ai", parts=("I look.", call)),
        Said(role="user", kind="tool", parts=(result,), name="search"),
    ]
    retold = retell(said, [ALPHA, GAMMA])
    assert [chunk.coverage for chunk in retold.chunks] == [0.0, 1.0]
    assert [name for name, _ in sources(retold)] == ["search", "gamma", "search"]
    # Without a retriever the messages are the sources; a result of a tool changes nothing about that.
    assert [name for name, _ in sources(retell(said, []))] == ["user", "assistant", "search"]


@pytest.mark.parametrize(
    ("quote", "there"),
    [(LONG.text.split()[20:29], False), (LONG.text.split()[:9], True), (LONG.text.split()[20:60], True)],
    ids=["a few words", "the beginning, which a cut leaves", "many words"],
)
def test_a_user_who_quotes_a_few_words_puts_no_document_in_the_prompt(quote: list[str], there: bool) -> None:
    question = f"Why does the note say '{' '.join(quote)}'?"
    (chunk,) = retell([human(question)], [LONG]).chunks
    assert bool(chunk.sources) is there
    # What a tool returned was not said by anybody.
    (chunk,) = retell([Said(role="user", kind="tool", parts=(question,))], [LONG]).chunks
    assert chunk.sources


def test_places_are_counted_once() -> None:
    chunk = Chunk(document=ALPHA, sources=(0, 1), within=((0, 0, 5), (0, 9, 14)))
    assert chunk.places == 3
