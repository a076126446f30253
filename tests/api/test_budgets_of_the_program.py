"""`whence explain` with a budget, with parameters of the method, and without explaining anything."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.api.conftest import Marked

from whence import Explainer, Explanation, FakeProvider
from whence.demo.records import PROMPT
from whence.explain.budget import DEFAULT_BUDGET
from whence.providers.registry import PROVIDERS, Entry

Run = Callable[..., CompletedProcess[str]]
NOTE = b"alpha is one. beta is two. gamma is three. nothing is four."
LONG = " ".join(f"Sentence {number}." for number in range(40)).encode()


@pytest.fixture
def explain(marked: Marked, inside: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`whence explain` of the note in this process, which has the providers of `marked`, too."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MARKS", marked.environment["MARKS"])
    for name in ("paid", "unpriced", "slow", "limited", "away"):
        monkeypatch.setitem(PROVIDERS, name, Entry(factory=f"made_up:{name}", about="made up"))
    return lambda *arguments: inside("explain", *arguments, stdin=NOTE)


def lines(output: str) -> dict[str, list[str]]:
    """What stands beside each label."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        label, text = line[:14].strip(), line[14:]
        found.setdefault(label, []).append(text)
    return found


# A dry run.


def test_a_dry_run_prints_the_plan_and_asks_nothing(explain: Run, marked: Marked) -> None:
    arguments = ("-m", "paid", "--max-tokens", "20", "--method", "lasso,leave_one_out")
    done = explain(*arguments, "--budget-calls", "24", "--dry-run")
    assert (done.returncode, done.stderr, marked.asked) == (0, "", 0)
    assert "\x1b" not in done.stdout
    told = lines(done.stdout)
    assert "Nothing was asked of the model" in told["Plan"][0]
    assert told["Model"] == ["fake"]
    assert told["Provider"] == ["fake, access to text"]
    assert told["Segments"] == ["4 that can be removed"]
    assert re.fullmatch(r"\d+ tokens, counted by the provider", told["Prompt"][0])
    figures = {
        name: [int(number) for number in re.findall(r"\d+", told[name][0])]
        for name in ("answer", "lasso", "leave_one_out", "total")
    }
    parts = [figures[name] for name in ("answer", "lasso", "leave_one_out")]
    assert [sum(column) for column in zip(*parts, strict=True)] == figures["total"]
    assert figures["answer"][0] == 1
    assert figures["total"][0] <= 24
    assert told["Money"] == [f"{figures['total'][1] + 2 * figures['total'][2]:.4g} EUR"]
    assert told["Budget"] == ["24 calls"]
    assert re.fullmatch(r"lasso: the budget allows \d+ of \d+ calls", told["Cut"][0])
    assert any("log-probabilities" in text for text in told["Passed over"])
    explain(*arguments, "--budget-calls", "24")
    assert 0 < marked.asked <= figures["total"][0]


def test_a_dry_run_says_what_auto_passed_over_and_writes_no_file(
    explain: Run, marked: Marked, tmp_path: Path
) -> None:
    done = explain("-m", "slow", "--dry-run", "-o", "x.json", "--output-text", "So.")
    assert (done.returncode, marked.asked) == (0, 0)
    assert done.stderr == "nothing is written in a dry run: x.json\n"
    told = lines(done.stdout)
    assert "attention: needs weights; this provider gives logprobs" in told["Passed over"]
    assert "answer" not in told
    assert told["Budget"] == ["none: this model's calls cost nothing"]
    assert "Money" not in told
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--budget-calls", "2"], "the budget of 2 calls does not allow the cheapest plan for lasso"),
        (["--budget-tokens", "10"], "the budget of 10 tokens does not allow"),
        (["--budget-money", "0.5"], "the budget of 0.5 money does not allow"),
        (["--budget-money", "inf"], "money: Input should be a finite number"),
        (["--budget-calls", "9" * 400, "--budget-tokens", "10"], "9 calls, 10 tokens does not allow"),
        (["--set", "masks=1"], "lasso: masks is 1: "),
        (["--set", "masks=NaN"], "lasso: masks is nan: "),
        (["--set", "masks=many"], "lasso: masks is a str: "),
        (["--set", "masks=[1"], "--set masks: '[1' is no JSON"),
        (["--set", 'value="similarity'], "is no JSON"),
        (["--set", "masks"], "--set is 'masks'; write NAME=VALUE"),
        (["--set", "=5"], "--set is '=5'; write NAME=VALUE"),
        (["--set", "masks=9", "--set", "masks=10"], "masks is given twice"),
        (["--set", "prompt=x"], "--set prompt: it is no parameter of a method"),
        (["--set", "no_such=x"], "lasso has no parameter 'no_such'; it takes alpha, "),
        (["--set", "layers=1", "--layers", "1"], "layers is given twice"),
        (["--set", "scorer=no-such"], "unknown scorer 'no-such'"),
        (["--set", "value=logprob"], "value='logprob' needs log-probabilities"),
    ],
)
def test_what_cannot_be_understood_ends_with_2_and_asks_nothing(
    explain: Run, marked: Marked, arguments: list[str], says: str
) -> None:
    for dry_run in ([], ["--dry-run"]):
        done = explain("-m", "paid", "--method", "lasso", *arguments, *dry_run)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert says in done.stderr
        assert (done.stdout, marked.asked) == ("", 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--budget-calls", "-1"],
        ["--budget-calls", "x"],
        ["--budget-money", "-1"],
        ["--budget-seconds", "nan"],
        ["--seed", "-1"],
    ],
)
def test_a_limit_that_is_none_ends_with_2(explain: Run, arguments: list[str]) -> None:
    done = explain("-m", "fake", *arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


# Budgets.


def test_where_calls_cost_money_the_limit_that_nobody_chose_is_told(explain: Run) -> None:
    options = ("-m", "paid", "--method", "lasso", "--max-tokens", "20")
    note = f"no --budget-... was given: the limit is {DEFAULT_BUDGET}.\n"
    for dry_run in (["--dry-run"], []):
        done = explain(*options, *dry_run)
        assert done.returncode == 0
        assert done.stderr.endswith(note)
        assert explain(*options, *dry_run, "--budget-calls", "100").stderr == ""


def test_a_model_whose_calls_cost_nothing_has_no_limit(explain: Run) -> None:
    assert explain("-m", "fake", "--method", "lasso").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--budget-calls", "30"], {"calls": 30}),
        (["--budget-tokens", "90000"], {"tokens": 90000}),
        (["--budget-money", "9000.5"], {"money": 9000.5}),
        (["--budget-calls", "30", "--budget-seconds", "60"], {"calls": 30, "seconds": 60.0}),
    ],
)
def test_every_limit_reaches_the_explanation(
    explain: Run, tmp_path: Path, arguments: list[str], wanted: dict[str, float]
) -> None:
    options = ("--method", "lasso", "--max-tokens", "20", "--out", "x.json")
    done = explain("-m", "paid", *options, *arguments)
    assert (done.returncode, done.stderr) == (0, "wrote x.json\n")
    budget = json.loads((tmp_path / "x.json").read_text())["cost"]["budget"]
    assert {name: limit for name, limit in budget.items() if limit is not None} == wanted


def test_a_limit_of_time_does_not_lift_the_limit_of_calls(explain: Run) -> None:
    done = explain("-m", "paid", "--method", "lasso", "--max-tokens", "20", "--budget-seconds", "60")
    assert done.returncode == 0
    assert done.stderr.endswith("the limit is 200 calls, 60 seconds.\n")


def test_money_without_prices_is_refused(explain: Run, marked: Marked) -> None:
    done = explain("-m", "unpriced", "--method", "lasso", "--budget-money", "5")
    assert (done.returncode, marked.asked) == (2, 0)
    assert "a budget of money needs prices" in done.stderr


def test_time_that_is_over_ends_with_2(marked: Marked) -> None:
    began = time.monotonic()
    done = marked("explain", "-m", "slow", "--method", "leave_one_out", "--budget-seconds", "1", stdin=LONG)
    assert time.monotonic() - began < 30
    assert done.returncode == 2
    assert "seconds are over" in done.stderr


@pytest.mark.parametrize(("model", "says"), [("limited", "too many requests"), ("away", "overloaded")])
def test_a_provider_that_is_busy_ends_with_1(explain: Run, model: str, says: str) -> None:
    done = explain("-m", model, "--method", "lasso")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {says}")


# Parameters and the seed.


def test_set_and_seed_give_the_numbers_of_the_sdk(explain: Run, tmp_path: Path) -> None:
    done = explain(
        *("-m", "fake", "--method", "lasso", "--seed", "5", "--out", "x.json"),
        *("--set", "masks=12", "--set", "keep=0.6", "--set", "value=logprob", "--set", "stop_early=false"),
    )
    assert done.returncode == 0
    cli = Explanation.model_validate_json((tmp_path / "x.json").read_bytes())
    arguments = {"masks": 12, "keep": 0.6, "value": "logprob", "stop_early": False, "method": "lasso"}
    sdk = Explainer(FakeProvider()).explain(PROMPT, sources=[NOTE.decode()], seed=5, **arguments)  # type: ignore[arg-type]
    assert cli.results[0].scores == sdk.results[0].scores
    assert cli.results[0].method == sdk.results[0].method
    other = Explainer(FakeProvider()).explain(PROMPT, sources=[NOTE.decode()], seed=6, **arguments)  # type: ignore[arg-type]
    assert cli.results[0].scores != other.results[0].scores


def test_an_interrupt_pays_for_nothing_more(marked: Marked) -> None:
    process = subprocess.Popen(  # noqa: S603
        [*marked.command, "explain", "-m", "slow", "--method", "leave_one_out"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=marked.environment | {"PATH": "", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(LONG)
    process.stdin.close()
    process.stdin = None
    limit = time.monotonic() + 60
    while marked.asked < 4:
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, b"Traceback" in err) == (b"", False)
    assert b"interrupted" in err
    assert marked.asked < 20, "it went on to ask"
