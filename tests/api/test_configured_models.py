"""`whence explain` and `whence models` with a settings file: its models, and what they may spend."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.api.hosted import ENTRY, FAULTS

from whence.api.cli import main
from whence.providers.registry import PROVIDERS

KEY = "sk-planted-Wq7Zp3"
NOTE = "alpha is one. beta is two. gamma is three."
SETTINGS = f"""
[server]
default_model = "local"

[models.local]
provider = "fake"

[models.paid]
provider = "hosted"
access = "text"
api_key = "{KEY}"
timeout_seconds = 600
prices = {{ input_per_million = 100, output_per_million = 500, currency = "EUR" }}
budget = {{ calls = 30, money = 5.5 }}

[models.paid.options]
max_in_flight = 2

[models.free]
provider = "hosted"
access = "text"
prices = {{ input_per_million = 100, output_per_million = 500 }}
"""
Written = tuple[object, str, str]
Inside = Callable[..., Written]


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Inside:
    """The command in this process, in a folder with a note and these settings: its exit code and streams."""
    (tmp_path / "note.txt").write_text(NOTE)
    (tmp_path / "settings.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PROVIDERS, "hosted", ENTRY)

    def call(*arguments: str) -> Written:
        monkeypatch.setattr(sys, "argv", ["whence", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return call


@pytest.fixture
def explain(inside: Inside) -> Inside:
    """`whence explain` of the note by a model of the settings."""
    options = ("--config", "settings.toml", "--max-tokens", "20")
    return lambda *arguments: inside("explain", "note.txt", *options, *arguments)


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        ([], {"calls": 30, "money": 5.5}),
        (["--budget-calls", "20"], {"calls": 20, "money": 5.5}),
        (["--budget-calls", "100", "--budget-tokens", "9000"], {"calls": 30, "money": 5.5, "tokens": 9000}),
    ],
)
def test_a_model_has_its_options_its_prices_and_its_budget(
    explain: Inside, arguments: list[str], holds: dict[str, float]
) -> None:
    code, _, err = explain("--model", "paid", "--method", "lasso", "--out", "x.json", *arguments)
    assert (code, err) == (0, "wrote x.json\n")
    cost = read("x.json")["cost"]
    assert {name: limit for name, limit in cost["budget"].items() if limit is not None} == holds
    assert cost["money"]["currency"] == "EUR"
    assert read("x.json")["results"][0]["method"]["access"] == "text"


def test_without_a_budget_of_the_file_the_usual_one_holds(explain: Inside) -> None:
    code, _, err = explain("-m", "free", "--method", "lasso", "--dry-run")
    assert code == 0
    assert err.endswith("the limit is 200 calls.\n")


def test_without_a_name_it_is_the_default(explain: Inside, inside: Inside) -> None:
    assert explain("--out", "x.json")[0] == 0
    assert read("x.json")["results"][0]["method"]["name"] == "attention"
    Path("settings.toml").write_text(SETTINGS.replace('default_model = "local"', ""))
    code, _, err = explain()
    assert (code, "known: local, paid, free" in err) == (2, True)


@pytest.mark.parametrize("name", ["demo", "hosted", "", "Paid"])
def test_an_unknown_name_is_answered_with_those_configured(explain: Inside, name: str) -> None:
    code, out, err = explain("--model", name)
    assert (code, out) == (2, "")
    assert f"unknown model {name!r}; known: local, paid, free" in err


def test_a_dry_run_asks_nothing(explain: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHENCE_MODELS__PAID__FAILS", "refused")
    code, out, err = explain("--model", "paid", "--method", "lasso", "--dry-run")
    assert (code, err) == (0, "")
    assert "30 calls, 5.5 money" in out
    assert "EUR" in out
    assert explain("--model", "paid", "--method", "lasso")[0] == 1


@pytest.mark.parametrize("fault", [*FAULTS])
def test_a_failure_of_an_api_is_told_at_the_terminal(
    explain: Inside, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("WHENCE_MODELS__PAID__FAILS", fault)
    monkeypatch.setenv("WHENCE_MODELS__PAID__DEADLINE_SECONDS", "0.3")
    code, out, err = explain("--model", "paid", "--method", "lasso")
    assert code == (2 if fault == "unknown" else 1)
    assert err.startswith(f"error: {str(FAULTS[fault](NOTE)).partition(NOTE)[0]}")
    assert out == ""
    assert KEY not in err


def test_models_of_a_file_are_listed_and_not_made(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PROVIDERS, "hosted")
    code, out, err = inside("models", "--config", "settings.toml")
    assert (code, err) == (0, "")
    _, local, paid, free = out.splitlines()
    assert local.split() == ["local", "(default)", "fake", "no", "prices", "none"]
    assert " ".join(paid.split()) == "paid hosted 100, 500 EUR 30 calls, 5.5 money"
    assert " ".join(free.split()) == "free hosted 100, 500 USD none"


def test_a_name_of_a_provider_is_no_markup(inside: Inside) -> None:
    Path("settings.toml").write_text('[models.x]\nprovider = "huggingface:/[red]\\u001b[31m/x"')
    out = inside("models", "--config", "settings.toml")[1]
    assert "huggingface:/[red]␛[31m/x" in out


@pytest.mark.parametrize("command", [["explain", "note.txt"], ["models"]])
def test_a_file_needs_the_extra(inside: Inside, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.delitem(sys.modules, "whence.api.service.settings", raising=False)
    monkeypatch.setitem(sys.modules, "pydantic_settings", None)
    code, _, err = inside(*command, "--config", "settings.toml")
    assert code == 1
    assert "'pydantic_settings'" in err
    assert "pip install 'whence[server]'" in err


@pytest.mark.parametrize("command", [["explain", "note.txt"], ["models"]])
def test_a_file_that_is_not_there_is_an_error(inside: Inside, command: list[str]) -> None:
    code, _, err = inside(*command, "--config", "nowhere.toml")
    assert (code, "no settings file nowhere.toml" in err) == (2, True)


def test_a_key_is_told_nowhere(explain: Inside, inside: Inside, tmp_path: Path) -> None:
    outs = [part for name in ("x.json", "x.html", "x.csv", "x.txt") for part in ("-o", name)]
    told = [
        explain("-m", "paid", "--method", "lasso", *outs),
        explain("-m", "paid", "--dry-run"),
        explain("-m", "paid", "--set", "no_such=1", "--method", "lasso"),
        inside("models", "--config", "settings.toml"),
    ]
    assert [code for code, *_ in told] == [0, 0, 2, 0]
    Path("settings.toml").write_text(SETTINGS.replace("access", "acces"))
    told.append(explain("-m", "paid"))
    assert "hosted does not take acces, api_key" in told[-1][2]
    written = [path.read_text() for path in tmp_path.glob("x.*")]
    assert len(written) == 4
    assert KEY not in "".join(written) + str(told)
