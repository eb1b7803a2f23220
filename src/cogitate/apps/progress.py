"""A line on standard error while something long runs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from cogitate.core.events import Answered, Chunk, Event
from cogitate.core.requests import Reply
from cogitate.core.usage import Budget


@contextmanager
def watching(budget: Budget | None, *, quiet: bool) -> Generator[Callable[[Event], None] | None]:
    """Show calls, tokens and time of a run, from its events; nothing where nobody looks."""
    from .output import console

    out = console(to_errors=True)
    if quiet or not out.is_terminal:
        yield None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    most = budget.tokens_out if budget is not None else None
    bound = f" of {most:,}" if most else ""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        line = bar.add_task("thinking", total=None)
        calls = tokens = chunks = 0

        def hear(event: Event) -> None:
            nonlocal calls, tokens, chunks
            if isinstance(event, Chunk):
                chunks += 1
            elif isinstance(event, Answered) and isinstance(event.outcome, Reply):
                calls += event.outcome.usage.calls
                tokens += event.outcome.usage.tokens_out
                chunks = 0
            else:
                return
            bar.update(line, description=f"{calls:,} calls, {tokens + chunks:,}{bound} tokens out")

        yield hear


@contextmanager
def downloading(what: str, *, quiet: bool) -> Generator[Callable[[int, int], None]]:
    """A progress bar by bytes."""
    from .output import console

    out = console(to_errors=True)
    if quiet:
        yield _unheard
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=out, transient=True) as bar:
        line = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total)


def _unheard(done: int, total: int) -> None:
    """Nobody listens."""
