"""What ends the work of a request early: its client leaves, its deadline passes, the server closes."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Receive

GONE: Final = "gone"
LATE: Final = "late"
CLOSING: Final = "closing"
SLOW: Final = "slow"

_LOOKS_AFTER_S: Final = 0.1


class Cut(Exception):
    """The work was ended early; `reason` is `GONE`, `LATE`, `CLOSING` or `SLOW`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Leash:
    """`async with Leash(receive, held)`: the block is cancelled and `Cut` is raised where it must end early.

    Mutable: it watches.
    """

    __slots__ = (
        "_before",
        "_held",
        "_loop",
        "_patience",
        "_receive",
        "_task",
        "_timer",
        "_watcher",
        "reason",
    )

    def __init__(self, receive: Receive, held: set[Leash]) -> None:
        """Describe the request.

        Args:
            receive: says when the client leaves, once its body has been read.
            held: the leashes of all requests, so that a closing server can find them.
        """
        self.reason = ""
        self._receive, self._held = receive, held
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Leash:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._held.add(self)
        return self

    def limit(self, seconds: float | None, reason: str = LATE) -> None:
        """End the work after so long; takes the place of an earlier limit."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self.cut, reason)

    def watch(self) -> None:
        """From now on the client's leaving ends the work; its body must have been read.

        A short request is over before anybody looks, which saves it a task.
        """
        self._patience = self._loop.call_later(_LOOKS_AFTER_S, self._look)

    def _look(self) -> None:
        self._patience = None
        self._watcher = self._loop.create_task(self._watched())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.discard(self)
        if self._patience is not None:
            self._patience.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if not self.reason:
            return
        if kind is None:  # cut in the very moment in which it was done
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            self._task.uncancel()
        elif issubclass(kind, asyncio.CancelledError) and self._task.uncancel() <= self._before:
            raise Cut(self.reason) from None

    def cut(self, reason: str) -> None:
        """End the work. The first reason counts."""
        if not self.reason:
            self.reason = reason
            self._task.cancel()

    async def _watched(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cut(GONE)
