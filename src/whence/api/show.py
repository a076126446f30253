"""Explain at a terminal or in a pipe: progress, the result, and the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType

from whence.api import plan_text
from whence.api.progress import shown_on
from whence.api.sdk import Explainer
from whence.explain.budget import Budget
from whence.explain.render import FORMATS, save
from whence.explain.render.text import to_terminal, to_text
from whence.providers.base import Provider
from whence.providers.errors import InputError
from whence.providers.prompt import Source

EXIT_INTERRUPTED = 130


def show(
    model: str | Provider,
    prompt: str,
    sources: list[Source],
    *,
    out: list[Path],
    top: int = 3,
    dry_run: bool = False,
    interactive: bool = True,
    **arguments: Any,
) -> None:
    """Explain, print, and write the files; or print what that would cost."""
    _require_writable(out)
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with shown_on(Console(stderr=True)) as progress, Explainer(model) as explainer:
            arguments |= {"sources": sources, "progress": progress}
            if dry_run:
                plan = explainer.plan(prompt, **arguments)
            else:
                explanation = explainer.explain(prompt, **arguments)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    screen = Console()
    if dry_run:
        _print(screen, plan_text.to_terminal(plan), plan_text.to_text(plan))
        _tell_default(notes, arguments.get("budget"), plan.budget)
        for path in out:
            notes.print(f"nothing is written in a dry run: {path}", markup=False)
        return
    _print(screen, to_terminal(explanation, k=top), to_text(explanation, k=top))
    _tell_default(notes, arguments.get("budget"), explanation.cost.budget)
    for path in out:
        notes.print(f"wrote {save(explanation, path, interactive=interactive)}", markup=False)


def _require_writable(out: list[Path]) -> None:
    """Refuse beforehand what could not be written. Raises InputError."""
    for path in out:
        if path.suffix.lower() not in FORMATS:
            raise InputError(f"cannot write {path}: its ending says how; use one of {', '.join(FORMATS)}")
        if not path.parent.is_dir():
            raise InputError(f"cannot write {path}: there is no directory {path.parent}")
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a directory; give the path of a file")


def _print(screen: Console, drawn: RenderableType, plain: str) -> None:
    """Onto a terminal, or as plain lines into a pipe."""
    if screen.is_terminal:
        screen.print(drawn)
    else:
        typer.echo(plain, nl=False)


def _tell_default(notes: Console, given: Budget | None, held: Budget | None) -> None:
    """Say that a limit held which nobody chose."""
    if held != given:
        notes.print(
            f"Calls of this model cost money and no --budget-... was given: the limit is {held}.",
            markup=False,
        )
