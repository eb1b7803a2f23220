"""What a run has heard once it does not ask again: the replies of a run folder, before an engine and beside it."""

from __future__ import annotations

from asyncio import Future, get_running_loop, wait
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cogitate.core.errors import Failed
from cogitate.core.journal import Record, outcome_of
from cogitate.core.protocols import Emit, Engine, Limits, silent
from cogitate.core.requests import Reply, Request
from cogitate.core.usage import ZERO
from cogitate.drive import ReplyCache, Stop
from cogitate.drive.lanes import checked

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

    def __init__(self, replies: ReplyCache | None = None) -> None:
        self._replies = replies
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
        if found is None and self._replies is not None:
            found = self._replies.get(request, (fingerprint,))
        if found is not None:
            self._keep(key, found)
        return found

    def flush(self) -> None:
        """Write what is new."""
        if self._replies is not None:
            self._replies.flush()

    def put(self, key: str, request: Request[Any], fingerprint: str, reply: Reply[Any]) -> None:
        """Keep a reply."""
        if self._replies is not None:
            self._replies.put(request, fingerprint, reply)
        self._keep(key, replace(reply, cached=True))

    def _keep(self, key: str, reply: Reply[Any]) -> None:
        self._recent[key] = reply
        if len(self._recent) > AT_HAND:
            del self._recent[next(iter(self._recent))]


class Remembering:
    """An engine before which the run's replies stand: equal requests are served once.

    It stands behind admission, unlike the driver's own cache: a remembered reply is admitted like one that is
    to be asked for, so that what a budget buys does not depend on what ran before. The price: what is
    remembered takes a place in the engine's queue for a moment, and counts against its rates.
    """

    # Mutable on purpose: it counts, and knows what is on its way.

    def __init__(self, engine: Engine, memory: Memory, stop: Stop | None = None) -> None:
        """Stand before an engine.

        Args:
            engine: is asked what is new.
            memory: knows the rest.
            stop: where given, ends the run between two batches, for drivers that hear of no stop.
        """
        self._engine, self._memory, self._stop = engine, memory, stop
        self._flying: dict[str, Future[None]] = {}
        self.served = 0
        """Requests answered, remembered ones included."""
        self.paid = ZERO
        """What the engine was asked for, as far as it answered."""
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
        if self._stop is not None and self._stop.reason:
            raise Interrupted(self._stop.reason)
        while flying := [f for r in batch if (f := self._flying.get(r.key())) is not None]:
            await _landed(flying)  # somebody asks the same already; its failure is not ours
        known: dict[str, Reply[Any] | Failed] = {}
        new: dict[str, int] = {}
        for place, request in enumerate(batch):
            key = request.key()
            if key in known or key in new:
                continue
            found = self._memory.get(key, request, self.fingerprint)
            if found is None:
                new[key] = place
            else:
                known[key] = found
        if new:
            known |= await self._asked(batch, new, emit)
        self.served += len(batch)
        told: list[Reply[Any] | Failed] = []
        for request in batch:
            key = request.key()
            told.append(known[key])
            if new.pop(key, None) is not None:  # whoever asks the same beside it pays nothing
                known[key] = _again(known[key])
        return told

    async def close(self) -> None:
        """Nothing: who opened the engine closes it."""

    async def _asked(
        self, batch: Sequence[Request[Any]], new: Mapping[str, int], emit: Emit
    ) -> dict[str, Reply[Any] | Failed]:
        """What the engine says to the requests at these places."""
        places = list(new.values())
        landing: list[Future[None]] = []
        if self._stop is None:  # only where batches are served side by side
            landing = [get_running_loop().create_future()]
            self._flying.update(dict.fromkeys(new, landing[0]))
        try:
            outcomes = checked(
                await self._engine.serve(
                    [batch[place] for place in places],
                    lambda index, text: emit(places[index], text),
                ),
                len(places),
            )
        finally:
            for future in landing:
                future.set_result(None)
            for key in new if landing else ():
                del self._flying[key]
        found: dict[str, Reply[Any] | Failed] = {}
        for (key, place), outcome in zip(new.items(), outcomes, strict=True):
            found[key] = outcome
            if isinstance(outcome, Reply):
                self._memory.put(key, batch[place], self.fingerprint, outcome)
                self.paid = self.paid + outcome.usage
        return found


async def _landed(flying: Sequence[Future[None]]) -> None:
    await wait(set(flying))


def _again(outcome: Reply[Any] | Failed) -> Reply[Any] | Failed:
    return replace(outcome, cached=True) if isinstance(outcome, Reply) else outcome
