"""A file appears whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from whence.explain.render import FORMATS, save
from whence.explain.render.html import to_html
from whence.explain.render.viewer import to_viewer
from whence.explain.schema import Explanation


@pytest.mark.parametrize("ending", FORMATS)
def test_the_file_holds_what_its_ending_says(ending: str, compared: Explanation, tmp_path: Path) -> None:
    path = tmp_path / f"report{ending}"
    assert save(compared, path) == path
    assert path.read_bytes() == FORMATS[ending](compared).encode("utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back_equal(compared: Explanation, tmp_path: Path) -> None:
    path = save(compared, tmp_path / "report.json")
    assert Explanation.model_validate_json(path.read_bytes()) == compared


def test_hostile_json_comes_back_equal(
    hostile: str, filled: Callable[[str], Explanation], tmp_path: Path
) -> None:
    explanation = filled(hostile)
    path = save(explanation, tmp_path / "report.json")
    assert Explanation.model_validate_json(path.read_bytes()) == explanation


def test_the_schema_saves_by_the_same_way(explanation: Explanation, tmp_path: Path) -> None:
    assert explanation.save(str(tmp_path / "REPORT.HTML")).read_text("utf-8") == to_viewer(explanation)


def test_without_script_the_file_is_the_page(explanation: Explanation, tmp_path: Path) -> None:
    page = explanation.save(tmp_path / "report.html", interactive=False).read_text("utf-8")
    assert page == to_html(explanation)
    assert "<script" not in page
    assert explanation.save(tmp_path / "report.json", interactive=False) == tmp_path / "report.json"


@pytest.mark.parametrize("name", ["report.pdf", "report", ".html"])
def test_an_unknown_ending_names_those_that_work(name: str, explanation: Explanation, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.html, \.json, \.csv, \.txt"):
        save(explanation, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_not_made(explanation: Explanation, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save(explanation, tmp_path / "missing" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_move_leaves_nothing_behind(explanation: Explanation, tmp_path: Path) -> None:
    taken = tmp_path / "report.html"
    taken.mkdir()
    with pytest.raises(OSError, match=r"report\.html"):
        save(explanation, taken)
    assert list(tmp_path.iterdir()) == [taken]


def test_a_file_that_was_there_is_replaced(explanation: Explanation, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text("before")
    save(explanation, path)
    assert "before" not in path.read_text("utf-8").splitlines()[0]
    assert list(tmp_path.iterdir()) == [path]
