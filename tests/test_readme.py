"""The Python code of the README, and of the viewer's page, runs as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "viewer.md")
EXAMPLES = [example for example in find_examples(*PAGES) if example.prefix == "python"]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_code_of_a_page_runs(
    example: CodeExample, eval_example: EvalExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    eval_example.run(example)
    if "save(" in example.source:
        assert (tmp_path / "report.html").stat().st_size > 0


def test_there_is_code_to_run() -> None:
    assert len(EXAMPLES) >= 2
