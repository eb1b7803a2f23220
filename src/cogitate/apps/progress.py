"""A line on standard error while something long runs."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from cogitate.core.events import Answered, Chunk, Event, Noted
from cogitate.core.requests import Reply
from cogitate.core.usage import Budget

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress

QUIET_S: Final = 2.0
"""Shorter runs show nothing."""
TICK_S: Final = 0.125
"""Between two looks at what was heard; the tree is not drawn more often."""
SHARE: Final = 0.01
"""Share of a processor that drawing may take."""


@contextmanager
def watching(
    budget: Budget | None, *, quiet: bool, after_s: float = QUIET_S, tree: bool = False
) -> Generator[Callable[[Event], None] | None]:
    """Show calls, tokens, time and what goes wrong; nothing where nobody looks or it ends soon.

    With `tree`, the growing search tree and the spending by role, from the first event on.
    """
    from .output import console

    out = console(to_errors=True)
    if quiet or not out.is_terminal:
        yield None
        return
    shown = _Tree(out, budget) if tree else _Line(out, budget)
    heard = _Retries(shown)
    log = logging.getLogger("cogitate.drive")
    level = log.level
    log.addHandler(heard)
    log.setLevel(logging.INFO)
    shown.begin(after_s)
    try:
        yield shown.hear
    finally:
        log.removeHandler(heard)
        log.setLevel(level)
        shown.close()


class _Tree:
    """The live tree: the driving thread only queues what it hears, a thread beside it reads and draws.

    Mutable: it listens. Only the thread beside it touches the canopy, so there is nothing to lock.
    """

    def __init__(self, out: Console, budget: Budget | None) -> None:
        from .render import Canopy

        self._out = out
        self._canopy = Canopy(budget)
        self._heard: deque[Noted | Answered] = deque()
        self._chunks = 0
        self._trouble: str | None = None
        self._live: Live | None = None
        self._end = threading.Event()
        self._start = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="cogitate-watch", daemon=True)

    def hear(self, event: Event) -> None:
        """Queue an event."""
        kind = type(event)
        if kind is Noted or kind is Answered:
            self._heard.append(event)  # pyright: ignore[reportArgumentType]
        elif kind is Chunk:
            self._chunks += 1

    def trouble(self, said: str) -> None:
        """Show why nothing seems to happen, until something does."""
        self._trouble = said[:400]

    def begin(self, after_s: float) -> None:
        """Watch from now on."""
        self._thread.start()

    def close(self) -> None:
        """Show how it ended, and give the terminal back."""
        self._end.set()
        self._thread.join()
        self._take()
        if self._live is None and not self._canopy.grove.nodes:
            return
        # A terminal that is gone is no reason to lose the answer, nor to end the run below.
        with suppress(OSError):
            self._draw(ended=True)
            if self._live is not None:
                self._live.stop()

    def _work(self) -> None:
        due = 0.0
        while not self._end.wait(TICK_S):
            self._take()
            if time.monotonic() < due or not (self._canopy.tokens or self._canopy.grove.nodes):
                continue
            try:
                due = time.monotonic() + self._draw(ended=False) / SHARE
            except OSError:
                due = math.inf

    def _take(self) -> None:
        said, self._trouble = self._trouble, None
        heard, take = self._heard, self._canopy.take
        for _ in range(len(heard)):
            take(heard.popleft())
        if said is not None:
            self._canopy.trouble = said
        self._canopy.mark(time.monotonic(), max(self._canopy.tokens, self._chunks))

    def _draw(self, *, ended: bool) -> float:
        """Draw; returns the seconds of processor time that it took."""
        from rich.console import Group
        from rich.live import Live

        start = time.thread_time()  # after the imports, which are paid once
        options = self._out.options
        lines = self._canopy.frame(
            options.max_width,
            max(2, self._out.height - 1),
            time.monotonic() - self._start,
            plain=options.ascii_only,
            ended=ended,
        )
        if self._live is None:
            self._live = Live(
                console=self._out,
                auto_refresh=False,
                redirect_stdout=False,
                vertical_overflow="crop",
            )
            self._live.start()
        self._live.update(Group(*lines), refresh=True)
        return time.thread_time() - start


class _Line:
    """The line itself; the driving thread tells it, a timer shows it. Mutable: it counts."""

    def __init__(self, out: Console, budget: Budget | None) -> None:
        most = budget.tokens_out if budget is not None else None
        self._out = out
        self._bound = f" of {most:,}" if most else ""
        self._calls = self._tokens = self._chunks = 0
        self._trouble = ""
        self._closed = False
        self._timer: threading.Timer | None = None
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

    def begin(self, after_s: float) -> None:
        """Show it after so many seconds."""
        self._timer = threading.Timer(after_s, self.show)
        self._timer.daemon = True
        self._timer.start()

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
        if self._timer is not None:
            self._timer.cancel()
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

    def __init__(self, line: _Line | _Tree) -> None:
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
