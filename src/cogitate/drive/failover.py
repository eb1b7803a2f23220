"""Several endpoints of one role as one engine: shared load, fail-over, and a breaker for a dead one.

The lane above keeps its queue, its retries and its accounts; what is decided here is only who is asked
next. A call that fails at one endpoint is told as `Moved` where another is at hand: the lane counts it
as an attempt, charges what it cost, and sends it again without a pause.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Emit, Engine, Limits, silent
from cogitate.core.requests import Reply, Request
from cogitate.core.usage import ZERO, Usage

_REMEMBERED: Final = 8192
"""Prefixes whose endpoint is remembered."""

_LOG = logging.getLogger(__name__)


class Moved(Failed):
    """A failure after which the same request may be sent again at once: it will go elsewhere."""


class Resting(Failed):
    """Nothing was sent, because every endpoint rests after a 429: no attempt was made."""


@dataclass(frozen=True)
class Breaker:
    """When an endpoint is left alone, and for how long."""

    failures: int = 5
    """Transient failures in a row that open the circuit."""
    first_s: float = 5.0
    """How long it stays open at first; then one call is let through."""
    factor: float = 2.0
    """How much longer each time that call fails too."""
    most_s: float = 60.0
    pause_s: float = 1.0
    """How long an endpoint rests after a 429 that does not say for how long."""

    def __post_init__(self) -> None:
        if self.failures < 1 or self.first_s <= 0 or self.factor < 1 or self.pause_s <= 0:
            raise InvalidInput(
                f"{self} was asked for; at least one failure, times above 0 and a factor of at least 1 "
                "are needed"
            )


@dataclass(eq=False)
class _Endpoint:
    """One engine and how it fares. Mutable: it counts."""

    engine: Engine
    running: int = 0
    failures: int = 0
    """Transient failures since the last answer."""
    until: float | None = None
    """When an open circuit lets one call through; `None` while it is closed."""
    delay_s: float = 0.0
    probing: bool = False
    """Whether that one call is on its way."""
    paused: float = 0.0
    """When it may be asked again after a 429."""
    last: str = ""
    """What it said when it failed."""
    opened: int = 0

    def may(self, now: float) -> bool:
        """Whether it may be asked."""
        if now < self.paused:
            return False
        return self.until is None or (now >= self.until and not self.probing)

    @property
    def room(self) -> int:
        return max(1, self.engine.limits.concurrency)

    def soonest(self) -> float:
        """When it may be asked again, as far as is known."""
        return max(self.paused, self.until or 0.0)


class Endpoints:
    """Endpoints that stand in for one another, as one engine.

    Each call goes to the endpoint with the most room; calls that share a prefix go where that prefix is
    already cached, while there is room. After `Breaker.failures` transient failures in a row an endpoint
    is left alone; after a while one call tries it. A 429 pauses only the endpoint that said it.

    The rates of the endpoints are summed: one that is asked too often says so, and rests.

    >>> from cogitate.engines.fake import FakeEngine
    >>> Endpoints([FakeEngine(), FakeEngine()]).limits.concurrency == 2 * FakeEngine().limits.concurrency
    True

    Raises:
        InvalidInput: for fewer than two, or where they serve different kinds of request.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        down: Sequence[Engine] = (),
    ) -> None:
        """Put engines side by side.

        Args:
            engines: at least two, which serve the same kinds of request.
            breaker: when one is left alone.
            clock: seconds; only differences count.
            down: those that did not answer when they were opened; they are tried a little later.
        """
        if len(engines) < 2 or len({id(engine) for engine in engines}) < len(engines):
            raise InvalidInput(
                "fail-over needs at least two different endpoints; give a single one by itself"
            )
        if len({engine.serves for engine in engines}) > 1:
            raise InvalidInput(
                "the endpoints of one role serve different kinds of request, so that one cannot stand in "
                "for another; give them different roles"
            )
        self._breaker, self._clock = breaker or Breaker(), clock
        self._all = [_Endpoint(engine) for engine in engines]
        self._homes: OrderedDict[str, _Endpoint] = OrderedDict()
        self._failed_at: OrderedDict[str, _Endpoint] = OrderedDict()
        self._turn = 0
        for endpoint in self._all:
            if any(endpoint.engine is engine for engine in down):
                endpoint.last = "it did not answer when it was opened"
                self._open(endpoint)

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """What all of them serve."""
        return self._all[0].engine.serves

    @property
    def fingerprint(self) -> str:
        """Those of all endpoints."""
        return " | ".join(self.fingerprints)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Who may have answered."""
        return tuple(endpoint.engine.fingerprint for endpoint in self._all)

    @property
    def limits(self) -> Limits:
        """What the endpoints that may be asked bear together."""
        now = self._clock()
        held = [endpoint.engine.limits for endpoint in self._all]
        ready = [endpoint.may(now) for endpoint in self._all]
        running = sum(endpoint.running for endpoint in self._all)
        places = sum(
            endpoint.running
            if not may
            else endpoint.room
            if endpoint.until is None
            else endpoint.running + 1
            for endpoint, may in zip(self._all, ready, strict=True)
        )
        return Limits(
            # With nobody to ask, one more call is let in: it hears when to come back.
            concurrency=places if any(ready) else running + 1,
            max_batch=min(limits.max_batch for limits in held),
            linger_s=max(limits.linger_s for limits in held),
            mixed=all(limits.mixed for limits in held),
            requests_per_minute=_sum([limits.requests_per_minute for limits in held]),
            tokens_per_minute=_sum([limits.tokens_per_minute for limits in held]),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Which endpoints were left alone, one sentence each."""
        return tuple(
            f"{endpoint.engine.fingerprint} was left alone {_times(endpoint.opened)}"
            + (" and answers again" if endpoint.until is None else " and does not answer")
            + f": {endpoint.last}"
            for endpoint in self._all
            if endpoint.opened
        )

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that the dearest of them can cost."""
        found = self._all[0].engine.ceiling(request)
        for endpoint in self._all[1:]:
            found = _most(found, endpoint.engine.ceiling(request))
        return found

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> Sequence[Reply[Any] | Failed]:
        """Answer by one endpoint; what fails there says whether another may be asked at once."""
        chosen = self._choose(batch)
        if isinstance(chosen, Failed):
            return [chosen] * len(batch)
        probe = chosen.until is not None
        chosen.probing = chosen.probing or probe
        chosen.running += 1
        try:
            outcomes = await chosen.engine.serve(batch, emit)
        except Failed as failure:
            outcomes = [failure] * len(batch)
        except Exception as error:
            self._failed(chosen, Failed(f"{type(error).__name__}: {error}", "crashed"), probe)
            raise
        finally:
            chosen.running -= 1
            if probe:
                chosen.probing = False
        self._heard(chosen, outcomes, probe)
        asked = zip(batch, outcomes, strict=False)  # the lane sees to an engine that keeps no count
        return [self._told(chosen, request, outcome) for request, outcome in asked]

    async def close(self) -> None:
        """Close every endpoint."""
        for endpoint in self._all:
            await endpoint.engine.close()

    # ------------------------------------------------------------------------------- choosing

    def _choose(self, batch: Sequence[Request[Any]]) -> _Endpoint | Failed:
        now = self._clock()
        ready = [endpoint for endpoint in self._all if endpoint.may(now)]
        if not ready:
            return self._nobody(now)
        left = [self._failed_at.pop(request.key(), None) for request in batch]
        ready = [e for e in ready if e not in left] or ready
        prompt: Prompt | None = getattr(batch[0], "prompt", None)
        chosen = next((e for e in ready if e.until is not None), None)  # one call tries it
        if chosen is None:
            home = self._home(prompt)
            chosen = home if home in ready and home.running < home.room else self._freest(ready)
        if prompt is not None:
            _remember(self._homes, prompt.digest, chosen)
            _remember(self._homes, prompt.base.digest, chosen)
        return chosen

    def _freest(self, ready: Sequence[_Endpoint]) -> _Endpoint:
        """The one with the largest share of its places free; equal ones take turns."""
        start, count = self._turn, len(self._all)
        places = {id(e): (i - start) % count for i, e in enumerate(self._all)}
        chosen = min(ready, key=lambda e: (e.running / e.room, places[id(e)]))
        self._turn = (start + places[id(chosen)] + 1) % count
        return chosen

    def _home(self, prompt: Prompt | None) -> _Endpoint | None:
        """Where the longest known prefix of a prompt was last sent."""
        for prefix in prompt.chain() if prompt is not None else ():
            if (found := self._homes.get(prefix.digest)) is not None:
                return found
        return None

    def _nobody(self, now: float) -> Failed:
        """Why nobody can be asked; nothing was sent, so nothing was spent."""
        first = min(self._all, key=lambda e: e.soonest())
        rests = first.until is None
        said = first.last or "its one trial call is on its way"
        return (Resting if rests else Failed)(
            f"none of the {len(self._all)} endpoints can be asked now; one said: {said}",
            "rate_limited" if rests else "refused",
            transient=True,
            retry_after_s=max(0.1, first.soonest() - now),
            usage=ZERO,
        )

    # -------------------------------------------------------------------------------- hearing

    def _heard(
        self, endpoint: _Endpoint, outcomes: Sequence[Reply[Any] | Failed], probe: bool
    ) -> None:
        """Learn from a call: any answer, a refusal of the request too, shows that the endpoint lives."""
        limited = [o for o in outcomes if isinstance(o, Failed) and o.kind == "rate_limited"]
        for failure in limited:
            # A quota that is used up does not come back soon.
            rest = self._breaker.pause_s if failure.transient else self._breaker.most_s
            rest = rest if failure.retry_after_s is None else failure.retry_after_s
            endpoint.paused = max(endpoint.paused, self._clock() + rest)
            endpoint.last = failure.reason
        broken = [o for o in outcomes if isinstance(o, Failed) and o.transient and o not in limited]
        if len(broken) < len(outcomes) or not outcomes:
            self._answered(endpoint)
        else:
            self._failed(endpoint, broken[0], probe)

    def _answered(self, endpoint: _Endpoint) -> None:
        if endpoint.until is not None:
            _LOG.warning("%s answers again", endpoint.engine.fingerprint)
        endpoint.failures, endpoint.until, endpoint.delay_s = 0, None, 0.0

    def _failed(self, endpoint: _Endpoint, failure: Failed, probe: bool) -> None:
        endpoint.failures += 1
        endpoint.last = failure.reason
        if endpoint.until is None:
            if endpoint.failures >= self._breaker.failures:
                self._open(endpoint)
        elif probe:  # calls sent before it opened say nothing new
            self._open(endpoint)

    def _open(self, endpoint: _Endpoint) -> None:
        longer = endpoint.delay_s * self._breaker.factor
        endpoint.delay_s = min(self._breaker.most_s, longer or self._breaker.first_s)
        endpoint.until = self._clock() + endpoint.delay_s
        endpoint.failures = max(endpoint.failures, self._breaker.failures)
        endpoint.opened += 1
        _LOG.warning(
            "%s is left alone for %g s: %s",
            *(endpoint.engine.fingerprint, endpoint.delay_s, endpoint.last),
        )

    def _told(
        self, endpoint: _Endpoint, request: Request[Any], outcome: Reply[Any] | Failed
    ) -> Reply[Any] | Failed:
        if isinstance(outcome, Reply):
            return (
                outcome if outcome.engine else replace(outcome, engine=endpoint.engine.fingerprint)
            )
        if not outcome.transient and outcome.kind != "rate_limited":
            return outcome
        now = self._clock()
        # Where the others fail too, the lane's pause is due: an outage is not for hammering.
        others = [e for e in self._all if e is not endpoint and e.may(now) and not e.failures]
        if not others:
            return outcome
        _remember(self._failed_at, request.key(), endpoint)
        return Moved(outcome.reason, outcome.kind, transient=True, usage=outcome.usage)


def _remember(held: OrderedDict[str, _Endpoint], name: str, endpoint: _Endpoint) -> None:
    held[name] = endpoint
    held.move_to_end(name)
    if len(held) > _REMEMBERED:
        held.popitem(last=False)


def _most(one: Usage, other: Usage) -> Usage:
    """The larger of each unit; unknown where either is."""

    def unit(name: str) -> Any:
        a, b = getattr(one, name), getattr(other, name)
        return None if a is None or b is None else max(a, b)

    return Usage(*(unit(name) for name in Usage.__dataclass_fields__))


def _sum(rates: Sequence[int | None]) -> int | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
