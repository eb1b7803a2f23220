"""Admission: which of the waiting requests may be served with the money there is."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cogitate.budget import Account, Hold, Ledger, Wait
from cogitate.core.asking import Ask
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import Remaining, SetAside
from cogitate.core.journal import Record, is_bound, outcome_of
from cogitate.core.machine import Machine, Outcome
from cogitate.core.protocols import Engine
from cogitate.core.requests import Generate, Reply, Request
from cogitate.core.usage import ZERO, Usage

from .routing import Router


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """A request that may be dispatched."""

    ask: Ask
    request: Request[Any]
    """What to send: the request asked, or the same with a smaller `max_tokens`."""
    engine: Engine
    hold: Hold
    ceiling: Usage
    trimmed: int | None = None


class Desk:
    """Holds what waits for money, and admits in address order.

    Refusing whenever held ceilings exceed the grant would waste most of it, so a request that may
    still fit waits. One that can no longer fit whole is served with a smaller `max_tokens` where it
    says that it can live with that (`least_tokens`), and is refused otherwise.
    """

    def __init__(self, machine: Machine[Any], router: Router, ledger: Ledger) -> None:
        self._machine, self._router, self._ledger = machine, router, ledger
        self._groups: dict[str, list[tuple[tuple[int, ...], Ask]]] = {}
        self.stopped = ""
        """Why nothing more is served: `seconds` or `interrupted`; empty while the run goes on."""
        self.seconds_left: float | None = None
        """What `remaining` says of the deadline."""
        self.cached: Usage = ZERO
        """What was answered from recorded replies."""
        self._cache: dict[str, Record] = {}

    def remember(self, records: list[Record]) -> None:
        """Answer these recorded requests from their records; a hit is charged at its recorded usage."""
        for record in records:
            if record.get("was", record["kind"]) == "reply" and not is_bound(record):
                self._cache.setdefault(record["key"], record)

    @property
    def waiting(self) -> bool:
        """Whether anything waits."""
        return bool(self._groups)

    def add(self, ask: Ask) -> None:
        """Queue a claimed request."""
        heapq.heappush(self._groups.setdefault(ask.account, []), (ask.order, ask))

    def admit(self) -> Iterator[Admitted | tuple[Ask, Outcome]]:
        """What may go now, and what is answered without an engine; stops where all must wait.

        Telling what is yielded may add to the desk while it is iterated; call again until it yields nothing.
        """
        heads = [(group[0][0], name) for name, group in self._groups.items()]
        heapq.heapify(heads)
        blocked: set[Account] = set()
        while heads:
            _, name = heapq.heappop(heads)
            group = self._groups.get(name)
            if not group:
                continue
            ask = group[0][1]
            if self._machine.wants(ask.at):
                if blocked and self._behind(name, blocked):
                    continue
                verdict = self._decide(ask)
                if isinstance(verdict, Wait):
                    blocked.add(verdict.account)
                    continue
            else:
                verdict = None
            heapq.heappop(group)
            if group:
                heapq.heappush(heads, (group[0][0], name))
            else:
                del self._groups[name]
            if isinstance(verdict, Admitted):
                yield verdict
            elif verdict is not None:
                yield ask, verdict

    def _behind(self, name: str, blocked: set[Account]) -> bool:
        account = self._ledger.accounts.get(name)
        return account is not None and any(node in blocked for node, _ in account.plan)

    def _decide(self, ask: Ask) -> Admitted | Outcome | Wait:
        request = ask.request
        if isinstance(request, Remaining):
            left = self._ledger.left(ask.account)
            seconds = self.seconds_left
            return Reply(left if seconds is None else replace(left, seconds=max(0.0, seconds)))
        if isinstance(request, SetAside):
            return self._set_aside(ask, request)
        try:
            engine = self._router.choose(request)
        except Failed as failure:
            return failure
        ceiling = engine.ceiling(request)
        if self.stopped and not _is_free(ceiling):
            return OutOfBudget(self.stopped, 0, 0)
        if self._cache and request.key() in self._cache:
            return self._recall(ask)
        verdict = self._ledger.verdict(ask.account, ceiling)
        if verdict is None:
            return Admitted(
                ask, request, engine, self._ledger.reserve(ask.account, ceiling), ceiling
            )
        if isinstance(verdict, OutOfBudget):
            return self._trim(ask, engine) or verdict
        return verdict

    def _recall(self, ask: Ask) -> Outcome | Wait:
        reply = outcome_of(self._cache[ask.request.key()], ask.request)
        assert isinstance(reply, Reply)
        verdict = self._ledger.verdict(ask.account, reply.usage)
        if verdict is not None:
            return verdict
        hold = self._ledger.reserve(ask.account, reply.usage)
        self._ledger.settle(hold, ask.request.role, reply.usage)
        self.cached = self.cached + reply.usage
        return reply

    def _set_aside(self, ask: Ask, request: SetAside) -> Outcome | Wait:
        if self.stopped:
            return OutOfBudget(self.stopped, 0, 0)
        grant = request.grant
        wanted = Usage(
            tokens_in=grant.tokens_in or 0,
            tokens_out=grant.tokens_out or 0,
            calls=grant.calls or 0,
            flops=grant.flops or 0.0,
            bytes_moved=grant.bytes_moved or 0.0,
            usd=grant.usd or 0.0,
        )
        verdict = self._ledger.verdict(ask.account, wanted)
        return Reply(f"{ask.account}/{request.name}@{ask.at}") if verdict is None else verdict

    def _trim(self, ask: Ask, engine: Engine) -> Admitted | Wait | None:
        """The largest `max_tokens` that fits now, if it is at least the least worth having."""
        request = ask.request
        if not isinstance(request, Generate) or not 0 < request.least_tokens < request.max_tokens:
            return None

        def fits(tokens: int) -> Wait | OutOfBudget | None:
            smaller = replace(request, max_tokens=tokens)
            return self._ledger.verdict(ask.account, engine.ceiling(smaller))

        least = fits(request.least_tokens)
        if least is not None:
            return least if isinstance(least, Wait) else None
        low, high = request.least_tokens, request.max_tokens
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) is None else (low, middle)
        smaller = replace(request, max_tokens=low)
        ceiling = engine.ceiling(smaller)
        hold = self._ledger.reserve(ask.account, ceiling)
        return Admitted(ask, smaller, engine, hold, ceiling, trimmed=low)


def _is_free(ceiling: Usage) -> bool:
    return ceiling == ZERO
