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


class Cut(Exception):
    """The work was ended early; `reason` is `GONE`, `LATE` or `CLOSING`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Leash:
    """`async with Leash(receive, held)`: the block is cancelled and `Cut` is raised where it must end early.

    Mutable: it watches.
    """

    def __init__(self, receive: Receive, held: set[Leash], seconds: float | None = None) -> None:
        """Describe the request.

        Args:
            receive: says when the client leaves; its body has been read.
            held: the leashes of all requests, so that a closing server can find them.
            seconds: the deadline.
        """
        self.reason = ""
        self._receive, self._held, self._seconds = receive, held, seconds

    async def __aenter__(self) -> Leash:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._watcher = self._loop.create_task(self._watch())
        self._timer = (
            None if self._seconds is None else self._loop.call_later(self._seconds, self.cut, LATE)
        )
        self._held.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.discard(self)
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

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cut(GONE)
