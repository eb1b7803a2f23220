"""A line on standard error while something long runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cogitate.core.events import Answered, Chunk, Event
from cogitate.core.requests import Reply
from cogitate.core.usage import Budget

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

QUIET_S: Final = 2.0
"""Shorter runs show nothing."""


@contextmanager
def watching(
    budget: Budget | None, *, quiet: bool, after_s: float = QUIET_S
) -> Generator[Callable[[Event], None] | None]:
    """Show calls, tokens, time and what goes wrong; nothing where nobody looks or it ends soon."""
    from .output import console

    out = console(to_errors=True)
    if quiet or not out.is_terminal:
        yield None
        return
    line = _Line(out, budget.tokens_out if budget is not None else None)
    heard = _Retries(line)
    log = logging.getLogger("cogitate.drive")
    level = log.level
    timer = threading.Timer(after_s, line.show)
    timer.daemon = True
    log.addHandler(heard)
    log.setLevel(logging.INFO)
    timer.start()
    try:
        yield line.hear
    finally:
        timer.cancel()
        log.removeHandler(heard)
        log.setLevel(level)
        line.close()


class _Line:
    """The line itself; the driving thread tells it, a timer shows it. Mutable: it counts."""

    def __init__(self, out: Console, most: int | None) -> None:
        self._out = out
        self._bound = f" of {most:,}" if most else ""
        self._calls = self._tokens = self._chunks = 0
        self._trouble = ""
        self._closed = False
        self._bar: Progress | None = None
        self._guard = threading.Lock()

    def hear(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Chunk):
            self._chunks += 1
        elif isinstance(event, Answered) and isinstance(event.outcome, Reply):
            self._calls += event.outcome.usage.calls
            self._tokens += event.outcome.usage.tokens_out
            self._chunks, self._trouble = 0, ""
        else:
            return
        self._update()

    def trouble(self, said: str) -> None:
        """Show why nothing seems to happen, until something does."""
        self._trouble = said
        self._update()

    def show(self) -> None:
        """Begin to show."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        with self._guard:
            if self._closed:
                return
            self._bar = Progress(*columns, console=self._out, transient=True)
            self._bar.add_task(self._said(), total=None)
            self._bar.start()

    def close(self) -> None:
        """Take the line away."""
        with self._guard:
            self._closed = True
            if self._bar is not None:
                self._bar.stop()

    def _update(self) -> None:
        with self._guard:
            if self._bar is not None and not self._closed:
                self._bar.update(self._bar.task_ids[0], description=self._said())

    def _said(self) -> str:
        from .render import one_line

        trouble = f"; {one_line(self._trouble, 160)}" if self._trouble else ""
        done = self._tokens + self._chunks
        return f"{self._calls:,} calls, {done:,}{self._bound} tokens out{trouble}"


class _Retries(logging.Handler):
    """Shows what the driver logs, such as a pause before the next attempt."""

    def __init__(self, line: _Line) -> None:
        super().__init__(logging.INFO)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.trouble(record.getMessage())


@contextmanager
def downloading(what: str, *, quiet: bool) -> Generator[Callable[[int, int], None]]:
    """A progress bar by bytes."""
    from .output import console

    out = console(to_errors=True)
    if quiet or not out.is_terminal:
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
