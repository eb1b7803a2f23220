"""What a run has heard once it does not ask again: the replies of a run folder, before an engine and beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from cogitate.core.errors import Failed
from cogitate.core.journal import Record, outcome_of
from cogitate.core.protocols import Emit, Engine, Limits, silent
from cogitate.core.requests import Reply, Request
from cogitate.core.usage import ZERO, Usage
from cogitate.drive import ReplyCache, Stop

AT_HAND: Final = 8192
"""Replies kept in memory; those of the questions in flight are among them."""


class Interrupted(BaseException):
    """A person ended the run; no error, so nothing on the way may take it for one."""


class RunCache(ReplyCache):
    """The replies of one run folder, on the disk before the journal holds them.

    So a reply that is journaled anywhere in the run is never asked for again, not even after a kill.
    """

    def flush(self, *, now: bool = False) -> None:
        """Write what was put."""
        super().flush(now=True)


class Memory:
    """The replies of a run: the latest at hand, those of broken questions as journaled, all of them on disk."""

    # Mutable on purpose: it remembers.

    def __init__(self, replies: ReplyCache) -> None:
        self.replies = replies
        self._recent: dict[str, Reply[Any]] = {}
        self._recorded: dict[str, Record] = {}

    def recall(self, record: Record) -> None:
        """Learn a reply from a journal."""
        if "usage" in record:  # what was free is asked again
            self._recorded[record["key"]] = record

    def get(self, key: str, request: Request[Any], fingerprint: str) -> Reply[Any] | None:
        """The reply to a request, marked `cached`."""
        found = self._recent.pop(key, None)
        if found is None and key in self._recorded:
            held = outcome_of(self._recorded.pop(key), request)
            found = replace(held, cached=True) if isinstance(held, Reply) else None
        if found is None:
            found = self.replies.get(request, (fingerprint,))
        if found is not None:
            self._keep(key, found)
        return found

    def put(self, key: str, request: Request[Any], fingerprint: str, reply: Reply[Any]) -> None:
        """Keep a reply."""
        self.replies.put(request, fingerprint, reply)
        self._keep(key, replace(reply, cached=True))

    def _keep(self, key: str, reply: Reply[Any]) -> None:
        self._recent[key] = reply
        if len(self._recent) > AT_HAND:
            del self._recent[next(iter(self._recent))]


class Remembering:
    """An engine before which the run's replies stand: equal requests are served once.

    It stands behind admission, unlike the driver's own cache: a remembered reply is admitted like one that is
    to be asked for, so that what a budget buys does not depend on what ran before. For engines that answer at
    once; those of servers would have their rates used up by it.
    """

    # Mutable on purpose: it counts.

    def __init__(self, engine: Engine, memory: Memory, stop: Stop) -> None:
        self._engine, self._memory, self._stop = engine, memory, stop
        self.served = 0
        """Requests answered, remembered ones included."""
        self.paid: Usage = ZERO
        """What the engine was asked for."""
        self.ceiling = engine.ceiling
        """As the engine says; bound here because it is asked for every request."""

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """As the engine."""
        return self._engine.serves

    @property
    def limits(self) -> Limits:
        """As the engine."""
        return self._engine.limits

    @property
    def fingerprint(self) -> str:
        """As the engine."""
        return self._engine.fingerprint

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> Sequence[Reply[Any] | Failed]:
        """Answer each request, in order, and ask the engine what is new.

        Raises:
            Interrupted: where the run is to end.
        """
        if self._stop.reason:
            raise Interrupted(self._stop.reason)
        known: dict[str, Reply[Any] | Failed] = {}
        new: dict[str, Request[Any]] = {}
        for request in batch:
            key = request.key()
            if key in known or key in new:
                continue
            found = self._memory.get(key, request, self.fingerprint)
            if found is None:
                new[key] = request
            else:
                known[key] = found
        if new:
            outcomes = await self._engine.serve(list(new.values()))
            for (key, request), outcome in zip(new.items(), outcomes, strict=True):
                if isinstance(outcome, Reply):
                    self._memory.put(key, request, self.fingerprint, outcome)
                    self.paid = self.paid + outcome.usage
                known[key] = outcome
        self.served += len(batch)
        told: list[Reply[Any] | Failed] = []
        for request in batch:
            key = request.key()
            told.append(known[key])
            if key in new:  # whoever asks the same beside it pays nothing
                known[key] = _again(known[key])
                del new[key]
        return told

    async def close(self) -> None:
        """Nothing: who opened the engine closes it."""


def _again(outcome: Reply[Any] | Failed) -> Reply[Any] | Failed:
    return replace(outcome, cached=True) if isinstance(outcome, Reply) else outcome
