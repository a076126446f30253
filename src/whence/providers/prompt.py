"""What a model is asked: sources, messages, and where each source's characters went."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from whence.providers.errors import EmptyPromptError, InputError, NoSourceError, RenderError, TextError

SourceKind = Literal["document", "message"]
Role = Literal["system", "user", "assistant"]
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A named input whose parts can receive credit.

    `text` is kept as given, to the code point. `name` appears in the prompt and may not hold a quotation
    mark, an angle bracket, a line break or a control character; left empty, the source is named by its
    place (`source 1`). `metadata`: text to text, not shown to the model.
    """

    text: str
    name: str = ""
    kind: SourceKind = "document"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(SourceKind):
            raise InputError(f"source kind {self.kind!r}: it is one of {', '.join(get_args(SourceKind))}")
        require_encodable(self.text, f"source {self.name!r}")
        require_encodable(self.name, "the name of a source")
        for item in (*self.metadata, *self.metadata.values()):
            require_encodable(item, f"the metadata of source {self.name!r}")
        if usable_name(self.name) != self.name:
            raise TextError(
                f"the source name {self.name!r} holds a quotation mark, an angle bracket, a line break or a "
                "control character; leave it out"
            )


def usable_name(name: str) -> str:
    """`name` with `_` for what may not stand in a source's name: it would break the line that names it."""
    # Control characters, lone surrogates, and the line breaks that are neither.
    breaking = ("Cc", "Cs", "Zl", "Zp")
    return "".join("_" if c in '"<>' or unicodedata.category(c) in breaking else c for c in name)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn. `content`: text, or text and sources in the order in which the model reads them.

    `verbatim`: they follow one another just as they are, without any markup around a source; for a prompt
    that somebody else has made.
    """

    role: Role
    content: str | Sequence[str | Source]
    verbatim: bool = False

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise InputError(f"message role {self.role!r}: it is one of {', '.join(get_args(Role))}")
        if not isinstance(self.content, Sequence):
            raise InputError(f"message content is {type(self.content).__name__}; give a text, or a list")
        for part in self.parts:
            if not isinstance(part, Source):
                require_encodable(part, f"the {self.role} message")

    @property
    def parts(self) -> tuple[str | Source, ...]:
        """The content as a tuple, also where it is one text."""
        return (self.content,) if isinstance(self.content, str) else tuple(self.content)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A message as text.

    `sources`: (index of the source, start, end), and `instructions`: (start, end) of every other part,
    both in characters of `text`; what is in neither is the markup around a source.
    """

    role: Role
    text: str
    sources: tuple[tuple[int, int, int], ...]
    instructions: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Messages whose sources have names; made by `build_prompt`."""

    messages: tuple[Message, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every source, in the order in which the model reads them."""
        return tuple(part for message in self.messages for part in message.parts if isinstance(part, Source))

    def turns(self, *, marked: bool = True) -> tuple[Turn, ...]:
        """Each message as one text, with the place of each source in it.

        A source stands on lines of its own between `<source name="...">` and `</source>`, or not `marked`
        just as it is; parts are separated by a blank line. Empty parts are left out where nothing is marked.
        Parts of a message that is `verbatim` are neither marked nor separated.
        """
        turns: list[Turn] = []
        index = 0
        for message in self.messages:
            text = ""
            places: list[tuple[int, int, int]] = []
            instructions: list[Span] = []
            marks = marked and not message.verbatim
            for part in message.parts:
                if text and (marks or part) and not message.verbatim:
                    text += "\n\n"
                if isinstance(part, Source):
                    text += f'<source name="{part.name}">\n' if marks else ""
                    places.append((index, len(text), len(text) + len(part.text)))
                    text += f"{part.text}\n</source>" if marks else part.text
                    index += 1
                else:
                    instructions.append((len(text), len(text) + len(part)))
                    text += part
            turns.append(
                Turn(role=message.role, text=text, sources=tuple(places), instructions=tuple(instructions))
            )
        return tuple(turns)


def build_prompt(
    prompt: str | Sequence[Message], *, sources: Sequence[str | Source] = (), system: str | None = None
) -> Prompt:
    """Check what the caller gave and make it a `Prompt`.

    A string becomes one user message: the sources, then the string. With messages, the caller places the
    sources inside their content, and `sources` and `system` stay empty.

    Raises NoSourceError, TextError, InputError.
    """
    if isinstance(prompt, str):
        strange = [type(item).__name__ for item in sources if not isinstance(item, str | Source)]
        if strange:
            raise InputError(f"sources holds {strange[0]}; pass texts, or Source(text=..., name=...)")
        given = [item if isinstance(item, Source) else Source(text=item) for item in sources]
        messages = [Message(role="user", content=(*given, prompt))]
        if system is not None:
            messages.insert(0, Message(role="system", content=system))
    else:
        if sources or system is not None:
            raise InputError(
                "with messages, place each Source inside the content of a message, and the system text "
                "in a message of role 'system'; sources= and system= are for a prompt that is one string"
            )
        messages = list(prompt)
        strange = [type(item).__name__ for item in messages if not isinstance(item, Message)]
        if strange:
            raise InputError(
                f"the prompt is a list that holds {strange[0]}; give one text, or Message objects"
            )
    built = Prompt(messages=_named(messages))
    if not any(source.text.strip() for source in built.sources):
        raise NoSourceError(
            "no source has any text, so nothing could receive credit; pass sources=[text, ...] or "
            "Source(text=..., name=...)"
        )
    return built


def require_instruction(prompt: Prompt) -> None:
    """Raise EmptyPromptError where no message says anything beside its sources.

    Of messages that somebody else has made, any part may be a source, the instruction too.
    """
    parts = [part for message in prompt.messages for part in message.parts if isinstance(part, str)]
    made = any(message.verbatim for message in prompt.messages)
    if not made and not any(part.strip() for part in parts):
        raise EmptyPromptError("the prompt is empty; say what to do, such as 'Summarise this record.'")


def require_encodable(text: str, what: str) -> None:
    """Refuse what is no text, and lone surrogates: no tokenizer or JSON can hold them."""
    if not isinstance(text, str):
        raise TextError(f"{what} holds {type(text).__name__}, which is no text; decode it, or write str(...)")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"{what} holds a lone surrogate ({text[error.start]!r} at character {error.start}), which is "
            "no character; decode the text with errors='replace' or mend it"
        ) from error


def _named(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Give every source a name of its own: its place where it has none, a number where names repeat."""
    used: set[str] = set()
    place = 0

    def name(part: str | Source) -> str | Source:
        nonlocal place
        if isinstance(part, str):
            return part
        place += 1
        wanted = part.name or f"source {place}"
        unique, number = wanted, 2
        while unique in used:
            unique, number = f"{wanted} ({number})", number + 1
        used.add(unique)
        return Source(text=part.text, name=unique, kind=part.kind, metadata=part.metadata)

    return tuple(
        replace(message, content=tuple(name(part) for part in message.parts)) for message in messages
    )


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A prompt as the text that is tokenised.

    `sources` and `instructions` as in `Turn`, and `messages`: (start, end) of each message, all in
    characters of `text`. What is in no message is the chat template.
    """

    text: str
    sources: tuple[tuple[int, int, int], ...]
    instructions: tuple[Span, ...]
    messages: tuple[Span, ...]


def locate(render: Callable[[Sequence[str]], str], turns: Sequence[Turn]) -> Rendered:
    """Follow each turn, and with it each source, into what a chat template makes of them.

    `render`: the template over the texts of the turns. What it writes around them is learnt from stand-ins,
    for a message may well say what the template says, too. A template may strip blanks around a message,
    never change what is inside. Raises RenderError.
    """
    rendered = render([turn.text for turn in turns])
    stand_ins = [f"\ue000{number}\ue001" for number in range(len(turns))]
    rest = render(stand_ins)
    at, kept = 0, ""  # where the last message ended, and the blanks after it that a template may have kept
    sources: list[tuple[int, int, int]] = []
    instructions: list[Span] = []
    messages: list[Span] = []
    for turn, stand_in in zip(turns, stand_ins, strict=True):
        around, _, rest = rest.partition(stand_in)
        body = turn.text.strip()
        before, after = turn.text.split(body, 1) if body else ("", turn.text)
        at += len(kept) if rendered.startswith(kept + around, at) else 0
        start = at + len(around)
        start += len(before) if rendered.startswith(before, start) else 0
        if not (rendered.startswith(around, at) and rendered.startswith(body, start)):
            raise RenderError(
                f"the chat template changed the {turn.role} message, so the characters of its sources "
                "cannot be followed into the prompt; use a template that keeps messages as they are"
            )
        end = start + len(body)
        shift = start - len(before)
        sources += [(index, shift + a, shift + b) for index, a, b in turn.sources]
        instructions += [
            (min(max(shift + a, start), end), max(min(shift + b, end), start)) for a, b in turn.instructions
        ]
        messages.append((start, end))
        at, kept = end, after
    if rendered[at:] not in (rest, kept + rest):
        raise RenderError(
            "the chat template writes something else after these messages than after others, such as one of "
            "them twice; use a template that writes each message once, as it is"
        )
    return Rendered(
        text=rendered, sources=tuple(sources), instructions=tuple(instructions), messages=tuple(messages)
    )
