"""The asynchronous driver: serves each request as soon as it may, and tells as each completes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from cogitate.budget import Ledger
from cogitate.core.errors import Failed, JournalError, OutOfBudget
from cogitate.core.events import Event
from cogitate.core.flow import Flow
from cogitate.core.journal import Journal
from cogitate.core.machine import Machine
from cogitate.core.protocols import Engine
from cogitate.core.requests import Reply
from cogitate.core.usage import ZERO, Budget

from .admission import Admitted, Desk
from .batch import Run
from .cache import ReplyCache
from .lanes import Item, Lane, Retry
from .routing import Router
from .showing import Screen
from .stopping import Stop

T = TypeVar("T")
_TURN_S = 0.05


async def run_async(
    flow: Flow[T],
    engine: Engine | Router,
    *,
    budget: Budget | None = None,
    journal: Journal | None = None,
    listen: Callable[[Event], None] | None = None,
    stop: Stop | None = None,
    retry: Retry | None = None,
    keep_refusals: bool = True,
    keep_failures: bool = True,
    from_mismatch: bool = False,
    elapsed_s: float = 0.0,
    grace_s: float = 5.0,
    cache: ReplyCache | None = None,
) -> Run[T]:
    """Drive a flow inside an event loop.

    With an ample grant the answer of an ordered search is the same as under `run`. When the grant or the
    deadline binds, the run replays exactly from its journal. Cancelling this coroutine cancels all work
    and leaves no task, permit or hold.

    Args:
        flow: the coroutine to drive.
        engine: an engine, or a router over several; they are not closed here.
        budget: the grant; `seconds` is a deadline counted from the start of the first run.
        journal: replayed first, then written.
        listen: hears every event.
        stop: ends the run from outside.
        retry: how transient failures are tried again.
        keep_refusals: false when resuming under another grant: recorded refusals do not stand.
        keep_failures: false when what failed shall be asked again.
        from_mismatch: where the code changed, keep what matches of the journal and use the rest as cache.
        elapsed_s: what earlier runs of this journal used of the deadline.
        grace_s: how long free local work, such as the final vote, may go on after the deadline, and how
            long a call that ignores its cancellation is waited for.
        cache: answers what it knows, and keeps what is answered; it is not closed here. Equal requests in
            flight are then served once.

    Raises:
        ReplayMismatch: when the journal belongs to other code.
        Exception: what the flow raised.
    """
    driver: _Driver[T] = _Driver(
        Router.of(engine),
        budget or Budget(),
        journal,
        listen,
        stop or Stop(),
        retry or Retry(),
        elapsed_s,
        grace_s,
        cache,
    )
    return await driver.drive(flow, keep_refusals, keep_failures, from_mismatch)


class _Driver(Generic[T]):
    def __init__(
        self,
        router: Router,
        budget: Budget,
        journal: Journal | None,
        listen: Callable[[Event], None] | None,
        stop: Stop,
        retry: Retry,
        elapsed_s: float,
        grace_s: float,
        cache: ReplyCache | None,
    ) -> None:
        self._router, self._journal, self._listen = router, journal, listen
        self._stop, self._retry, self._grace_s = stop, retry, grace_s
        self._cache = cache
        self._ledger = Ledger(budget)
        self._start = time.monotonic() - elapsed_s
        self._deadline = None if budget.seconds is None else self._start + budget.seconds
        self._wake = asyncio.Event()
        self._lanes: dict[int, Lane] = {}
        self._items: dict[str, Item] = {}
        self._arrived: deque[tuple[Item, Reply[Any] | Failed]] = deque()
        self._screen = Screen(listen)
        self._problem = ""

    async def drive(
        self, flow: Flow[T], keep_refusals: bool, keep_failures: bool, from_mismatch: bool
    ) -> Run[T]:
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._wake.set)

        self._stop.attach(wake)
        self._machine: Machine[T] = Machine(
            flow,
            self._journal,
            books=self._ledger,
            listen=self._listen,
            keep_refusals=keep_refusals,
            keep_failures=keep_failures,
            from_mismatch=from_mismatch,
        )
        self._desk = Desk(self._machine, self._router, self._ledger, self._cache)
        try:
            while not self._machine.done:
                more = self._admit()
                self._flush()
                if self._machine.done:
                    break
                await self._wait(loop, more)
                self._deliver()
            await self._end()
            return Run(
                self._machine.result,
                self._ledger.total,
                dict(self._ledger.roles),
                stopped=self._desk.stopped,
                seconds=time.monotonic() - self._start,
                cached=self._desk.cached,
                spent=self._ledger.spent,
                overdrawn=self._ledger.overdrawn,
                idle=self._ledger.idle,
                problem=self._problem,
            )
        finally:
            self._stop.attach(None)
            self._machine.close()
            await self._end()

    # -------------------------------------------------------------------------- one round

    def _admit(self) -> bool:
        """Move all that is asked to the desk, and what is admitted to its lane; whether more is to do.

        What a cache answers, or a refusal, is told at once and may be followed by the next question: after
        a while the event loop has its turn, so that the run can be stopped and calls can end.
        """
        machine, desk = self._machine, self._desk
        end = time.monotonic() + _TURN_S
        again = True
        while again and not machine.done:
            if time.monotonic() > end:
                return True
            again = False
            desk.remember(machine.leftovers())
            for ask in machine.pending():
                desk.add(machine.take(ask.at))
            if self._deadline is not None:
                desk.seconds_left = self._deadline - time.monotonic()
            for verdict in desk.admit():
                if isinstance(verdict, Admitted):
                    self._send(verdict)
                else:
                    ask, outcome = verdict
                    self._screen.kept(ask, outcome)
                    machine.tell(ask.at, outcome)
                    again = True
            self._drop_cancelled()
        return False

    def _send(self, admitted: Admitted) -> None:
        lane = self._lanes.get(id(admitted.engine))
        if lane is None:
            lane = Lane(
                admitted.engine,
                time.monotonic,
                self._retry,
                self._done,
                self._chunk,
                self._wake.set,
                self._extend,
            )
            self._lanes[id(admitted.engine)] = lane
        item = Item(admitted)
        self._items[admitted.ask.at] = item
        self._screen.begin(admitted.ask)
        lane.add(item)

    def _done(self, item: Item, outcome: Reply[Any] | Failed) -> None:
        self._arrived.append((item, outcome))
        self._wake.set()

    def _extend(self, item: Item) -> bool:
        """Hold what failed attempts cost on top of the next one's ceiling, if the grant bears it."""
        self._screen.again(item.admitted.ask)
        if item.spent is item.extended:
            return True
        hold = self._ledger.reserve_again(item.admitted.hold, item.admitted.ceiling + item.spent)
        if hold is None:
            return False
        item.extended, item.admitted = item.spent, replace(item.admitted, hold=hold)
        return True

    def _chunk(self, item: Item, text: str) -> None:
        if not self._screen.piece(item.admitted.ask, text):  # what else it says is of no use
            self._lanes[id(item.admitted.engine)].unwanted(item)

    async def _wait(self, loop: asyncio.AbstractEventLoop, more: bool) -> None:
        """Start what may start and sleep until something happens."""
        self._check_stop()
        wakes = [when for lane in self._lanes.values() if (when := lane.pump()) is not None]
        if self._deadline is not None and not self._desk.stopped:
            wakes.append(self._deadline)
        if self._desk.stopped:
            wakes.append(self._patience)
        if self._arrived or more:
            self._wake.clear()
            await asyncio.sleep(0)
            return
        timer = None
        if wakes:
            timer = loop.call_later(max(0.0, min(wakes) - time.monotonic()), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._wake.clear()
        self._check_stop()

    def _deliver(self) -> None:
        while self._arrived:
            item, outcome = self._arrived.popleft()
            self._settle(item, outcome)
            if self._machine.done:
                break
        self._drop_cancelled()

    def _settle(self, item: Item, outcome: Reply[Any] | Failed) -> None:
        admitted = item.admitted
        at = admitted.ask.at
        if self._items.get(at) is not item:
            return
        del self._items[at]
        outcome = self._screen.end(admitted.ask, outcome)
        if admitted.trimmed is not None and isinstance(outcome, Reply):
            outcome = replace(outcome, trimmed=admitted.trimmed)
        self._ledger.settle(admitted.hold, admitted.request.role, outcome.usage or ZERO)
        machine = self._machine
        if machine.wants(at):
            self._desk.land(admitted, outcome, item.own)
        else:
            self._desk.land(admitted, Failed("nobody waits for it", "cancelled"), ZERO)
        if self._journal is not None and isinstance(outcome, Reply):
            elapsed = time.monotonic() - self._start
            self._journal.timing(admitted.ask.stream, at, outcome.seconds, elapsed)
        if not machine.wants(at):
            machine.late(admitted.ask, outcome)
        elif isinstance(outcome, Failed) and outcome.kind == "cancelled" and self._desk.stopped:
            machine.late(admitted.ask, outcome)
            machine.tell(at, OutOfBudget(self._desk.stopped, 0, 0))
        else:
            machine.tell(at, outcome)

    def _drop_cancelled(self) -> None:
        cancelled, self._machine.cancelled = self._machine.cancelled, []
        for at in cancelled:
            item = self._items.get(at)
            if item is None:
                continue
            lane = self._lanes[id(item.admitted.engine)]
            lane.unwanted(item)
            if item.place in ("queued", "delayed"):
                lane.forget(item)
                self._settle(item, Failed("nobody waits for it", "cancelled", usage=item.spent))

    # ------------------------------------------------------------------------------ endings

    def _check_stop(self) -> None:
        now = time.monotonic()
        reason = self._stop.reason
        if not reason and self._deadline is not None and now >= self._deadline:
            reason = "seconds"
        if reason and not self._desk.stopped:
            self._desk.stopped = reason
            self._patience = now + self._grace_s
            # An interruption is a person's decision, not the world's: it is not replayed.
            self._machine.silent = self._machine.silent or reason != "seconds"
            self._cut(free_too=False)
        elif self._desk.stopped and now >= self._patience:
            self._patience = now + self._grace_s
            self._abandon()
            self._cut(free_too=True)

    def _cut(self, free_too: bool) -> None:
        """Cancel what runs and take back what waits; free local work may end."""
        for lane in self._lanes.values():
            lane.closing = True
            kept: list[Item] = []
            for item in lane.take_back():
                if item.admitted.ceiling == ZERO and not free_too:
                    kept.append(item)
                else:
                    self._done(item, Failed("the run was stopped", "cancelled", usage=item.spent))
            for item in kept:
                lane.add(item)
            for task, batch in list(lane.running.items()):
                if free_too or any(item.admitted.ceiling != ZERO for item in batch):
                    _cancel(task)

    def _abandon(self) -> None:
        """Let go of calls that were cancelled and did not end."""
        for lane in self._lanes.values():
            for task in list(lane.running):
                if task.cancelling():
                    lane.abandon(task)

    def _flush(self) -> None:
        if self._cache is not None:
            self._cache.flush()
        if self._journal is None:
            return
        try:
            self._journal.flush()
        except JournalError as error:
            if not self._problem:
                self._problem = str(error)
                self._stop.request("journal")

    async def _end(self) -> None:
        """Cancel and settle whatever is left; safe to call twice."""
        tasks: list[asyncio.Task[None]] = []
        for lane in self._lanes.values():
            lane.closing = True
            for item in lane.take_back():
                self._done(item, Failed("the run has ended", "cancelled", usage=item.spent))
            for task in list(lane.running):
                _cancel(task)
                tasks.append(task)
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._grace_s)
                await asyncio.sleep(0)  # lets the tasks' done callbacks run
        finally:
            self._abandon()
            while self._arrived:
                item, outcome = self._arrived.popleft()
                self._settle(item, outcome)
            self._flush()


def _cancel(task: asyncio.Task[None]) -> None:
    """Once: a second cancellation would cut the cleanup of the first."""
    if not task.cancelling():
        task.cancel()
