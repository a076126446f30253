"""The plan of the house: who may import whom, the links at the top level, the pins, the CI script."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def run(*command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command, cwd=ROOT, input=text, capture_output=True, text=True, check=False, timeout=120
    )


def test_every_import_goes_the_way_it_may() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    done = run(BIN / "lint-imports", "--no-logo", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(contracts)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize("name", ["providers", "explain", "api"])
def test_the_links_at_the_top_level_point_into_the_package(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert link.readlink() == Path("src/whence") / name
    assert link.is_dir()


@pytest.mark.parametrize("name", ["providers", "explain", "api"])
@pytest.mark.parametrize("code", ["import {}\n", "from {} import base\n", "import {}.base\n"])
def test_the_bare_names_are_banned(name: str, code: str) -> None:
    check = (BIN / "ruff", "check", "--select=TID251", "--stdin-filename=src/whence/new.py", "-")
    assert "whence." + name in run(*check, text=code.format(name)).stdout
    assert run(*check, text=code.format(f"whence.{name}")).returncode == 0


def test_nobody_imports_a_bare_name() -> None:
    done = run(BIN / "ruff", "check", "--select=TID251", "src", "tests", "scripts", "benchmarks")
    assert done.returncode == 0, done.stdout


def test_constraints_are_exact_and_hold_on_every_machine() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", pin) for pin in pins), pins
    names = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    assert len(set(names)) == len(names)
    assert not {"whence", "pip", "setuptools"} & set(names)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["huggingface"], *extras["dev"]]
    assert {re.split(r"[^A-Za-z0-9-]", item)[0] for item in wanted} <= set(names)


def test_ci_can_be_started_as_a_program() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert run("bash", "-n", ".ci/run").returncode == 0


def test_each_target_that_ci_and_the_readers_use_exists() -> None:
    for target in ("help", "demo", "test", "check", "format", "train", "clean"):
        assert run("make", "--dry-run", target).returncode == 0
    plan = run("make", "--dry-run", "check", "test").stdout
    assert plan.count("bin/pytest") == 1
    for tool in ("ruff format --check", "ruff check", "mypy", "lint-imports"):
        assert f"bin/{tool}" in plan


def test_an_old_python_is_told_apart_before_anything_is_installed(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1" && exit\nexit 1\n')
    old.chmod(0o755)
    done = run("make", f"--directory={tmp_path}", f"--file={ROOT / 'Makefile'}", f"PYTHON={old}", ".venv")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.8.1" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
