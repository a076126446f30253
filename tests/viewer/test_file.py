"""The file that `save` writes: it opens from disk, and asks nothing of anybody."""

from __future__ import annotations

from tests.viewer.conftest import Opens
from tests.viewer.explained import record


def test_the_sentences_of_the_output_are_there(opens: Opens) -> None:
    page = opens(record())
    for target in range(len(record().output.targets)):
        assert record().target_text(target).strip() in page.inner_text(".whence")
