"""The batch driver: asks for everything that is open, serves it as one batch, tells."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from cogitate.budget import Ledger
from cogitate.core.errors import CogitateError, Failed
from cogitate.core.events import Event
from cogitate.core.flow import Flow
from cogitate.core.journal import Journal
from cogitate.core.machine import Machine
from cogitate.core.protocols import Engine
from cogitate.core.requests import Reply
from cogitate.core.usage import ZERO, Budget, Usage

from .admission import Admitted, Desk
from .cache import ReplyCache
from .lanes import checked, crashed
from .routing import Router

T = TypeVar("T")


class NeedsLoop(CogitateError):
    """An engine waits for something, so that it needs an event loop."""


@dataclass(frozen=True)
class Run(Generic[T]):
    """What driving a flow gave, and what it cost."""

    value: T
    usage: Usage
    roles: dict[str, Usage]
    """Usage by role."""
    stopped: str = ""
    """`seconds` or `interrupted`, where the run was ended from outside."""
    seconds: float = 0.0
    """Wall-clock."""
    cached: Usage = ZERO
    """What this run read from recorded replies and from the cache instead of asking again."""
    spent: Usage = ZERO
    """The part of `usage` that was really paid for, by this run or by those it goes on with: all of it but
    what came from the cache, which is charged against the grant and was paid for before."""
    overdrawn: bool = False
    """Whether a server used more than its ceiling allowed."""
    idle: bool = True
    """Whether every hold was settled and every reservation given back, as must always be the case."""
    problem: str = ""
    """What went wrong with the journal; the answer stands, but it cannot be resumed from here."""


def run(
    flow: Flow[T],
    engine: Engine | Router,
    *,
    budget: Budget | None = None,
    journal: Journal | None = None,
    listen: Callable[[Event], None] | None = None,
    cache: ReplyCache | None = None,
) -> Run[T]:
    """Drive a flow without an event loop, on engines that answer at once.

    Every wave serves all that is open as one batch per engine. Deadlines, retries and engines that
    wait belong to `run_async`.

    Raises:
        NeedsLoop: when an engine waits for something.
        Exception: what the flow raised.
    """
    router = Router.of(engine)
    ledger = Ledger(budget or Budget())
    machine: Machine[T] = Machine(flow, journal, books=ledger, listen=listen)
    desk = Desk(machine, router, ledger, cache)
    try:
        while not machine.done:
            wave = _wave(machine, desk)
            for served in _by_engine(wave):
                _serve(served, machine, ledger, desk)
            machine.cancelled.clear()
            if journal is not None:
                journal.flush()
            if cache is not None:
                cache.flush()
        return Run(
            machine.result,
            ledger.total,
            dict(ledger.roles),
            cached=desk.cached,
            spent=ledger.spent,
            overdrawn=ledger.overdrawn,
            idle=ledger.idle,
        )
    finally:
        machine.close()


def _wave(machine: Machine[Any], desk: Desk) -> list[Admitted]:
    wave: list[Admitted] = []
    again = True
    while again and not machine.done:
        again = False
        desk.remember(machine.leftovers())
        for ask in machine.pending() if not wave or machine.has_pending else ():
            desk.add(machine.take(ask.at))
        for verdict in desk.admit():
            if isinstance(verdict, Admitted):
                wave.append(verdict)
            else:
                ask, outcome = verdict
                machine.tell(ask.at, outcome)
                again = True
    return wave


def _by_engine(wave: list[Admitted]) -> list[list[Admitted]]:
    found: dict[int, list[Admitted]] = {}
    for item in wave:
        found.setdefault(id(item.engine), []).append(item)
    return list(found.values())


def _serve(items: list[Admitted], machine: Machine[Any], ledger: Ledger, desk: Desk) -> None:
    engine = items[0].engine
    limits = engine.limits
    batches = [items]
    if not limits.mixed:
        groups: dict[str, list[Admitted]] = {}
        for item in items:
            groups.setdefault(item.request.sibling_key(), []).append(item)
        batches = list(groups.values())
    for batch in batches:
        for start in range(0, len(batch), max(1, limits.max_batch)):
            part = _wanted(batch[start : start + max(1, limits.max_batch)], machine, ledger, desk)
            outcomes = _answers(engine, part)
            for item, outcome in zip(part, outcomes, strict=True):
                deliver(item, outcome, machine, ledger, desk)


def _wanted(
    items: list[Admitted], machine: Machine[Any], ledger: Ledger, desk: Desk
) -> list[Admitted]:
    """Those that somebody still waits for; an earlier batch of the wave may have decided the search."""
    for item in items:
        if not machine.wants(item.ask.at):
            ledger.settle(item.hold, item.request.role, ZERO)
            desk.land(item, Failed("nobody waits for it", "cancelled"), ZERO)
    return [item for item in items if machine.wants(item.ask.at)]


def _answers(engine: Engine, part: list[Admitted]) -> Sequence[Reply[Any] | Failed]:
    if not part:
        return []
    try:
        return checked(complete(engine.serve([item.request for item in part])), len(part))
    except NeedsLoop:
        raise
    except Failed as failure:
        return [Failed(failure.reason, failure.kind) for _ in part]
    except Exception as error:
        return [crashed(error) for _ in part]


def deliver(
    item: Admitted,
    outcome: Reply[Any] | Failed,
    machine: Machine[Any],
    ledger: Ledger,
    desk: Desk,
) -> None:
    """Settle what was held and tell whoever still waits."""
    if machine.wants(item.ask.at):
        desk.land(item, outcome, outcome.usage or ZERO)
    else:
        desk.land(item, Failed("nobody waits for it", "cancelled"), ZERO)
    if item.trimmed is not None and isinstance(outcome, Reply):
        outcome = replace(outcome, trimmed=item.trimmed)
    ledger.settle(item.hold, item.request.role, outcome.usage or ZERO)
    if machine.wants(item.ask.at):
        machine.tell(item.ask.at, outcome)
    else:
        machine.late(item.ask, outcome)


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits.

    Raises:
        NeedsLoop: when it waits.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise NeedsLoop(
        "this engine waits for a network, a thread or a clock; drive it with run_async instead of run"
    )
