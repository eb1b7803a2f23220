"""One lane per engine: coalescing, concurrency, rates, retries, and cutting work that nobody wants."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random  # noqa: TID251  (jitter between retries; never seen by a flow)
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any, Literal, cast

from cogitate.core.errors import Failed
from cogitate.core.protocols import Engine
from cogitate.core.requests import Reply
from cogitate.core.usage import UNITS, ZERO, Usage

from .admission import Admitted
from .failover import Moved, Resting

MINUTE = 60.0
_WORKED = frozenset({"timeout", "cut"})
"""Failures of a server that may have worked for us all the while and never said how much."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retry:
    """How a transient failure is tried again: exponential backoff with jitter.

    A server's own `Retry-After` counts where it is longer.
    """

    attempts: int = 5
    """Calls of one request in all."""
    first_s: float = 0.5
    factor: float = 2.0
    most_s: float = 60.0
    jitter: float = 0.25
    """Share of the pause that is random, so that clients do not return together."""
    patience_s: float = 120.0
    """A server that asks for a longer pause has refused, and a call that hung for longer is not sent again."""

    def hopeless(self, failure: Failed, seconds: float) -> bool:
        """Whether another attempt would only keep somebody waiting, after one of so many seconds."""
        if (failure.retry_after_s or 0.0) > self.patience_s:
            return True
        return failure.kind == "timeout" and seconds > self.patience_s

    def pause(self, attempt: int, advised_s: float | None) -> float:
        """Seconds to wait after this many failed attempts."""
        backoff = min(self.most_s, self.first_s * self.factor ** (attempt - 1))
        backoff *= 1 + self.jitter * (2 * random.random() - 1)
        return max(backoff, advised_s or 0.0)


@dataclass(eq=False, slots=True)
class Item:
    """One admitted request on its way. Mutable: it counts attempts."""

    admitted: Admitted
    attempt: int = 0
    added: float = 0.0
    rested: float = 0.0
    """Seconds for which it was kept back because everybody who could serve it rests."""
    pieces: int = 0
    """Chunks that arrived, for the estimate when the call is cut."""
    spent: Usage = ZERO
    """What failed attempts cost."""
    own: Usage = ZERO
    """What the attempt that was answered cost by itself."""
    extended: Usage = ZERO
    """The part of it that is held beside the ceiling of the next attempt."""
    wanted: bool = True
    place: Literal["queued", "running", "delayed", "arrived", "forgotten"] = "queued"
    task: asyncio.Task[None] | None = None


Done = Callable[[Item, Reply[Any] | Failed], None]


@dataclass(eq=False)
class Lane:
    """What waits for one engine and what it serves. Mutable: a queue."""

    engine: Engine
    clock: Callable[[], float]
    retry: Retry
    done: Done
    chunk: Callable[[Item, str], None]
    wake: Callable[[], None]
    """Called when there is something to start later."""
    extend: Callable[[Item], bool] = lambda _: True
    """Asked before a retry: whether the grant bears what the failed attempt cost and another one."""
    queue: dict[str, deque[Item]] = field(default_factory=dict[str, "deque[Item]"])
    delayed: list[tuple[float, int, Item]] = field(default_factory=list["tuple[float, int, Item]"])
    running: dict[asyncio.Task[None], list[Item]] = field(
        default_factory=dict["asyncio.Task[None]", "list[Item]"]
    )
    starts: deque[tuple[float, int, float]] = field(
        default_factory=deque["tuple[float, int, float]"]
    )
    """When requests were sent in the last minute, how many, and their tokens."""
    rate: float = 0.0
    """Observed tokens a second of one request."""
    ticket: Any = field(default_factory=count)
    closing: bool = False

    def add(self, item: Item) -> None:
        """Queue an item."""
        item.added = self.clock()
        self._queue(item)

    def _queue(self, item: Item) -> None:
        limits = self.engine.limits
        if limits.mixed:
            key = ""
        elif limits.max_batch > 1:
            key = item.admitted.request.sibling_key()
        else:
            key = str(next(self.ticket))
        self.queue.setdefault(key, deque()).append(item)

    def pump(self) -> float | None:
        """Start what may start; returns when to look again, if nothing else wakes the driver."""
        now = self.clock()
        while self.delayed and (
            self.delayed[0][0] <= now or self.delayed[0][2].place == "forgotten"
        ):
            item = heapq.heappop(self.delayed)[2]
            if item.place == "delayed":
                item.place = "queued"
                self._queue(item)
        wake = self.delayed[0][0] if self.delayed else None
        limits = self.engine.limits
        lingering = 0
        while len(self.running) < limits.concurrency:
            key = next(islice(self.queue, lingering, None), None)
            if key is None:
                break
            waiting = self.queue[key]
            while waiting and waiting[0].place == "forgotten":
                waiting.popleft()
            if not waiting:
                del self.queue[key]
                continue
            full = self._filled(waiting)
            if full > now:
                wake = full if wake is None else min(wake, full)
                lingering += 1
                continue
            free = self._unthrottled(waiting, now)
            if free is not None:
                return free if wake is None else min(wake, free)
            batch: list[Item] = []
            while waiting and len(batch) < max(1, limits.max_batch):
                item = waiting.popleft()
                if item.place != "forgotten":
                    batch.append(item)
            if not waiting:
                del self.queue[key]
            self._start(batch, now)
        return wake

    def _filled(self, waiting: deque[Item]) -> float:
        """When a batch need not wait any longer for others to join it."""
        limits = self.engine.limits
        if limits.linger_s and self.running and len(waiting) < limits.max_batch:
            return waiting[0].added + limits.linger_s
        return 0.0

    def _unthrottled(self, waiting: deque[Item], now: float) -> float | None:
        """`None` where the rates allow a batch now, else when to look again."""
        limits = self.engine.limits
        if limits.requests_per_minute is None and limits.tokens_per_minute is None:
            return None
        while self.starts and self.starts[0][0] <= now - MINUTE:
            self.starts.popleft()
        size = min(len(waiting), max(1, limits.max_batch))
        sent = sum(n for _, n, _ in self.starts)
        tokens = sum(t for _, _, t in self.starts)
        wants = sum(_tokens(item) for item in islice(waiting, size))
        most_sent, most_tokens = limits.requests_per_minute, limits.tokens_per_minute
        full = (most_sent is not None and sent + size > most_sent) or (
            most_tokens is not None and tokens + wants > most_tokens
        )
        return self.starts[0][0] + MINUTE if full and self.starts else None

    def _start(self, batch: list[Item], now: float) -> None:
        limits = self.engine.limits
        if limits.requests_per_minute is not None or limits.tokens_per_minute is not None:
            self.starts.append((now, len(batch), sum(_tokens(item) for item in batch)))
        task = asyncio.ensure_future(self._serve(batch))
        self.running[task] = batch
        for item in batch:
            item.task, item.place = task, "running"
            item.attempt += 1
        # Freed here and not inside the coroutine: a task cancelled before its first step never runs it.
        task.add_done_callback(self._free)

    def _free(self, task: asyncio.Task[None]) -> None:
        batch = self.running.pop(task, [])
        if task.cancelled():
            for item in batch:  # it was never sent
                item.task, item.place = None, "arrived"
                self.done(item, Failed("the call was cut", "cancelled", usage=item.spent))
        if self.queue:
            self.wake()  # its answer woke the driver before its place was free

    def abandon(self, task: asyncio.Task[None]) -> None:
        """Wait no longer for a call that ignores its cancellation."""
        batch = self.running.pop(task, [])
        self._cut(batch, self.clock() - min((item.added for item in batch), default=0.0))

    async def _serve(self, batch: list[Item]) -> None:
        start = self.clock()

        def emit(index: int, text: str) -> None:
            batch[index].pieces += 1
            self.chunk(batch[index], text)

        outcomes: Sequence[Reply[Any] | Failed]
        try:
            outcomes = await self.engine.serve([i.admitted.request for i in batch], emit)
            outcomes = checked(outcomes, len(batch))
        except asyncio.CancelledError:
            self._cut(batch, self.clock() - start)
            return
        except Failed as failure:
            outcomes = [failure] * len(batch)
        except Exception as error:
            outcomes = [crashed(error)] * len(batch)
        seconds = self.clock() - start
        for item, outcome in zip(batch, outcomes, strict=True):
            if item.place != "running":  # it may have been abandoned meanwhile
                continue
            try:
                self._arrived(item, outcome, seconds)
            except Exception as error:  # whatever an answer holds, nobody waits for it for ever
                item.task, item.place = None, "arrived"
                self.done(item, crashed(error))

    def _arrived(self, item: Item, outcome: Reply[Any] | Failed, seconds: float) -> None:
        item.task, item.place = None, "arrived"
        if isinstance(outcome, Reply):
            if outcome.usage.tokens_out and seconds > 0:
                rate = outcome.usage.tokens_out / seconds
                self.rate = rate if not self.rate else 0.8 * self.rate + 0.2 * rate
            item.own = outcome.usage
            usage = outcome.usage if item.spent is ZERO else outcome.usage + item.spent
            self.done(item, replace(outcome, usage=usage, seconds=seconds))
            return
        cost = outcome.usage
        if cost is None and outcome.kind in _WORKED:
            cost = self._estimate(item, seconds)
        if cost is not None:
            item.spent = item.spent + cost
        if self._again(item, outcome, seconds):
            return
        # A copy: an engine may give one failure to a whole batch, and each item has its own cost.
        usage = cost if item.spent is ZERO else item.spent
        reason, advised_s = outcome.reason, outcome.retry_after_s
        if advised_s is not None and advised_s > self.retry.patience_s:
            reason = f"{reason}; it asks to come back in {advised_s:.0f} s"
        self.done(item, Failed(reason, outcome.kind, transient=outcome.transient, usage=usage))

    def _again(self, item: Item, failure: Failed, seconds: float) -> bool:
        """Whether a failed item is sent once more, later or elsewhere."""
        moved = isinstance(failure, Moved)
        again = failure.transient and item.wanted and not self.closing
        again = again and (moved or not self.retry.hopeless(failure, seconds))
        if not (again and item.attempt < self.retry.attempts and self.extend(item)):
            return False
        pause = 0.0 if moved else self.retry.pause(item.attempt, failure.retry_after_s)
        if isinstance(failure, Resting):
            item.attempt -= 1
            item.rested += pause
            if item.rested > self.retry.patience_s:
                return False
        _LOG.info(
            "trying again %s (%d of %d): %s",
            *("elsewhere" if moved else f"in {pause:.1f} s", item.attempt + 1),
            *(self.retry.attempts, failure.reason),
        )
        item.pieces, item.place = 0, "delayed"
        heapq.heappush(self.delayed, (self.clock() + pause, next(self.ticket), item))
        self.wake()
        return True

    def _cut(self, batch: list[Item], seconds: float) -> None:
        """Calls that were cancelled: charge an estimate, never more than was reserved."""
        for item in batch:
            if item.place != "running":
                continue
            item.task, item.place = None, "arrived"
            usage = item.spent + self._estimate(item, seconds)
            self.done(item, Failed("the call was cut", "cancelled", usage=usage))

    def _estimate(self, item: Item, seconds: float) -> Usage:
        ceiling = item.admitted.ceiling
        if item.attempt == 0 or ceiling == ZERO:
            return ZERO
        if item.pieces:
            tokens = min(ceiling.tokens_out, item.pieces + 1)
        elif self.rate:
            tokens = min(ceiling.tokens_out, int(self.rate * seconds) + 1)
        else:
            tokens = ceiling.tokens_out
        share = tokens / ceiling.tokens_out if ceiling.tokens_out else 1.0
        return replace(
            ceiling,
            tokens_in=(ceiling.tokens_in + 3) // 4,
            tokens_out=tokens,
            tokens_reasoning=0,
            usd=None if ceiling.usd is None else ceiling.usd * share,
            flops=None if ceiling.flops is None else ceiling.flops * share,
            bytes_moved=None if ceiling.bytes_moved is None else ceiling.bytes_moved * share,
            estimated=True,
        )

    def unwanted(self, item: Item) -> None:
        """Nobody waits for this any more; a call is cut once nobody waits for any of its siblings."""
        item.wanted = False
        task = item.task
        if task is not None and not any(i.wanted for i in self.running.get(task, ())):
            task.cancel()  # only the last sibling comes here, so it is cancelled once

    def forget(self, item: Item) -> None:
        """Do not send an item; it leaves the queue when its turn comes."""
        item.place = "forgotten"

    def take_back(self) -> list[Item]:
        """What was queued and not sent."""
        found = [item for waiting in self.queue.values() for item in waiting]
        found += [item for _, _, item in self.delayed]
        self.queue.clear()
        self.delayed.clear()
        return [item for item in found if item.place != "forgotten"]


def crashed(error: Exception) -> Failed:
    """An engine that raised; of a group its first member is named, since the group itself says nothing."""
    while isinstance(error, ExceptionGroup):
        error = cast("Exception", error.exceptions[0])
    return Failed(f"an engine raised {type(error).__name__}: {error}", "crashed")


def checked(outcomes: Sequence[Any], count: int) -> Sequence[Reply[Any] | Failed]:
    """What an engine answered; failures where it kept no count or gave something else."""
    if len(outcomes) != count:
        reason = f"an engine answered {len(outcomes)} of {count} requests"
        return [Failed(reason, "crashed") for _ in range(count)]
    found: list[Reply[Any] | Failed] = []
    for outcome in outcomes:
        if isinstance(outcome, Reply | Failed):
            known = cast("Reply[Any] | Failed", outcome)
            if known.usage is not None and not _is_sane(known.usage):
                known = Failed("an engine told a cost that is no cost", "crashed")
            found.append(known)
        else:
            reason = f"an engine answered with a {type(outcome).__name__}"
            found.append(Failed(reason, "crashed"))
    return found


_MOST = 1e21
"""More of any unit than anything costs; FLOPs alone come near."""


def _is_sane(usage: Usage) -> bool:
    """Whether an account can bear it: neither negative nor endless nor no number at all."""
    if usage is ZERO:
        return True
    return all((held := getattr(usage, unit)) is None or 0 <= held < _MOST for unit in UNITS)


def _tokens(item: Item) -> float:
    ceiling = item.admitted.ceiling
    return ceiling.tokens_out + ceiling.tokens_in / 4  # four bytes a token, about
