"""Progress on a terminal; nothing where the output is piped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from whence.providers.base import Progress, Step

LABELS = {
    "load": "loading the model",
    "generate": "writing",
    "attend": "observing attention",
    "ablate": "removing passages",
}


@contextmanager
def shown_on(console: Console) -> Iterator[Progress | None]:
    """A callback that draws the present stage, first the loading; None where nobody would see it."""
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(LABELS["load"], total=None)

        def report(step: Step) -> None:
            label = LABELS.get(step.stage, step.stage)
            bars.update(bar, description=label, completed=step.done, total=step.total)

        yield report
