"""A page of HTML, read by the parser of the standard library."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """A page as its elements with their attributes, and the texts of its records, their numbers left out."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.open: list[str] = []
        self.records: list[str] = []
        self.text = ""
        self._record_depth: int | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))
        if tag in VOID:
            return
        self.open.append(tag)
        if ("class", "record") in attrs:
            self._record_depth = len(self.open)
            self.records.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        if len(self.open) == self._record_depth:
            self._record_depth = None
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if self._record_depth is not None and "sup" not in self.open:
            self.records[-1] += data

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, attrs in self.elements for key, value in attrs if key == name]
