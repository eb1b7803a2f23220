"""Slots for requests in flight, and a fair and bounded queue before them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from cogitate.core.errors import InvalidInput

from .refusals import Overloaded

_LONGEST_ADVICE_S: Final = 60.0
_MEMORY: Final = 0.9
"""Weight of what was known in the running mean of the time between two free slots."""


class Turns:
    """So many slots; whoever finds none waits, and a free one goes to the key that has the fewest.

    Among keys that have equally many it goes round. A key with a thousand waiting requests so gets its
    share and no more: another key that asks for the first time is served by the next free slot. The queue
    is bounded; when it is full, the newest request of the key that waits most gives way to a key that
    waits less, so that nobody is kept out by filling it. Lives in one event loop.
    """

    def __init__(
        self,
        slots: int,
        waiting: int,
        *,
        patience_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the bounds.

        Args:
            slots: requests in flight at most.
            waiting: requests that may wait for a slot at most.
            patience_s: how long one waits at most; `None`: as long as its client does.
            clock: any clock that runs forward.
        """
        if slots < 1 or waiting < 0:
            raise InvalidInput(
                f"{slots} requests in flight and {waiting} waiting were asked for; at least 1 is in "
                "flight, and 0 or more wait"
            )
        self.slots, self.most_waiting, self.patience_s = slots, waiting, patience_s
        self.waiting = 0
        """Requests that wait now."""
        self.running = 0
        """Slots that are taken now."""
        self._busy: Counter[str] = Counter()
        self._lines: dict[str, dict[asyncio.Future[None], None]] = {}
        """Who waits, by key; the keys in the order of their turns."""
        self._clock = clock
        self._freed_at: float | None = None
        self._pace_s = 1.0

    async def take(self, key: str) -> None:
        """Wait for a slot; whoever is cancelled meanwhile has left the queue and holds none.

        Raises:
            Overloaded: where too many wait, or a slot did not come in time.
        """
        if not self._lines and self.running < self.slots:
            self._begin(key)
            return
        self._make_room(key)
        ticket = asyncio.get_running_loop().create_future()
        self._lines.setdefault(key, {})[ticket] = None
        self.waiting += 1
        try:
            async with asyncio.timeout(self.patience_s):
                await ticket
        except BaseException as error:
            self._withdraw(key, ticket)
            if isinstance(error, TimeoutError):
                raise self._refused(f"no slot came free within {self.patience_s:g} s") from None
            raise

    def give(self, key: str) -> None:
        """Give a slot back; the next in turn has it at once."""
        now = self._clock()
        if self._freed_at is not None:
            self._pace_s = _MEMORY * self._pace_s + (1 - _MEMORY) * (now - self._freed_at)
        self._freed_at = now
        self.running -= 1
        self._busy[key] -= 1
        if self._busy[key] <= 0:
            del self._busy[key]
        self._serve()

    def _serve(self) -> None:
        while self._lines and self.running < self.slots:
            key = min(self._lines, key=lambda k: self._busy[k])
            line = self._lines.pop(key)
            ticket = next(iter(line))
            del line[ticket]
            if line:
                self._lines[key] = line  # behind all others: its turn is over
            self.waiting -= 1
            if not ticket.done():  # else its owner has gone, and is about to say so
                self._begin(key)
                ticket.set_result(None)

    def _begin(self, key: str) -> None:
        self.running += 1
        self._busy[key] += 1

    def _withdraw(self, key: str, ticket: asyncio.Future[None]) -> None:
        if ticket.done() and not ticket.cancelled() and ticket.exception() is None:
            self.give(key)  # the slot came in the moment in which its owner went
        else:
            self._leave(key, ticket)

    def _leave(self, key: str, ticket: asyncio.Future[None]) -> None:
        line = self._lines.get(key)
        if line is None or ticket not in line:
            return
        del line[ticket]
        self.waiting -= 1
        if not line:
            del self._lines[key]

    def _make_room(self, key: str) -> None:
        if self.waiting < self.most_waiting:
            return
        longest = max(self._lines, key=lambda k: len(self._lines[k]), default=key)
        mine = len(self._lines.get(key, ()))
        crowd = len(self._lines.get(longest, ()))
        if crowd <= mine + 1:
            raise self._refused(
                f"{self.running} requests are in flight and {self.waiting} wait; no more may"
            )
        ticket = next(reversed(self._lines[longest]))
        self._leave(longest, ticket)
        if not ticket.done():
            ticket.set_exception(
                self._refused(f"{crowd} requests of this key wait, and others need the room")
            )

    def _refused(self, reason: str) -> Overloaded:
        wait = (self.waiting + 1) * self._pace_s
        return Overloaded(reason, min(max(1.0, wait), _LONGEST_ADVICE_S))
