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

from .cache import ReplyCache
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

    def __init__(
        self,
        machine: Machine[Any],
        router: Router,
        ledger: Ledger,
        replies: ReplyCache | None = None,
    ) -> None:
        self._machine, self._router, self._ledger = machine, router, ledger
        self._replies = replies
        self._flying: dict[str, list[Ask]] = {}
        """Who waits for a reply that is on its way to somebody who asked the same."""
        self._groups: dict[str, list[tuple[tuple[int, ...], Ask]]] = {}
        self.stopped = ""
        """Why nothing more is served: `seconds` or `interrupted`; empty while the run goes on."""
        self.seconds_left: float | None = None
        """What `remaining` says of the deadline."""
        self.cached: Usage = ZERO
        """What was answered from recorded replies and from the cache."""
        self._leftovers: dict[str, Record] = {}

    def remember(self, records: list[Record]) -> None:
        """Answer these recorded requests from their records; a hit is charged at its recorded usage."""
        for record in records:
            if record.get("was", record["kind"]) == "reply" and not is_bound(record):
                self._leftovers.setdefault(record["key"], record)

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
            elif verdict is not None:  # neither cancelled nor waiting for an equal one
                yield ask, verdict

    def _behind(self, name: str, blocked: set[Account]) -> bool:
        account = self._ledger.accounts.get(name)
        return account is not None and any(node in blocked for node, _ in account.plan)

    def land(self, admitted: Admitted, outcome: Outcome, own: Usage) -> None:
        """Hear what became of a request: a reply is kept at its own cost, and who waited for it asks again."""
        waiting = self._flying.pop(self._flight(admitted.engine, admitted.request), ())
        keeps = self._replies is not None and self._router.keeps(admitted.engine)
        if self._replies is not None and keeps and isinstance(outcome, Reply):
            fingerprint = outcome.engine
            if fingerprint not in self._router.fingerprints(admitted.engine):
                fingerprint = admitted.engine.fingerprint
            self._replies.put(admitted.request, fingerprint, replace(outcome, usage=own))
        for ask in waiting:
            self.add(ask)

    def _flight(self, engine: Engine, request: Request[Any]) -> str:
        return f"{id(engine)} {request.key()}" if self._replies is not None else ""

    def _admitted(
        self,
        ask: Ask,
        request: Request[Any],
        engine: Engine,
        ceiling: Usage,
        trimmed: int | None = None,
    ) -> Admitted:
        if self._replies is not None and self._router.keeps(engine):
            self._flying.setdefault(self._flight(engine, request), [])
        hold = self._ledger.reserve(ask.account, ceiling)
        return Admitted(ask, request, engine, hold, ceiling, trimmed)

    def _kept(self, ask: Ask, request: Request[Any], engine: Engine) -> Outcome | Wait | None:
        """What the cache says, or `None` where the engine must be asked."""
        if self._replies is None or not self._router.keeps(engine):
            return None
        reply = self._replies.get(request, self._router.fingerprints(engine))
        return None if reply is None else self._recall(ask, reply)

    def _decide(self, ask: Ask) -> Admitted | Outcome | Wait | None:
        """What becomes of a request; `None`: it waits for the reply to an equal one."""
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
        if self._leftovers and request.key() in self._leftovers:
            reply = outcome_of(self._leftovers[request.key()], request)
            assert isinstance(reply, Reply)
            return self._recall(ask, reply)
        if (kept := self._kept(ask, request, engine)) is not None:
            return kept
        equal = self._flying.get(self._flight(engine, request)) if self._flying else None
        if equal is not None:
            equal.append(ask)
            return None
        verdict = self._ledger.verdict(ask.account, ceiling)
        if verdict is None:
            return self._admitted(ask, request, engine, ceiling)
        if isinstance(verdict, OutOfBudget):
            return self._trim(ask, engine) or verdict
        return verdict

    def _recall(self, ask: Ask, reply: Reply[Any]) -> Outcome | Wait:
        """Charge a recorded reply at its recorded usage, if the grant bears it."""
        verdict = self._ledger.verdict(ask.account, reply.usage)
        if verdict is not None:
            return verdict
        hold = self._ledger.reserve(ask.account, reply.usage)
        self._ledger.settle(hold, ask.request.role, reply.usage, cached=reply.cached)
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

    def _trim(self, ask: Ask, engine: Engine) -> Admitted | Outcome | Wait | None:
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
        kept = self._kept(ask, smaller, engine)
        if kept is not None:
            return replace(kept, trimmed=low) if isinstance(kept, Reply) else kept
        return self._admitted(ask, smaller, engine, engine.ceiling(smaller), trimmed=low)


def _is_free(ceiling: Usage) -> bool:
    return ceiling == ZERO
