"""Several endpoints of one role: who is asked, who is left alone, and what a move costs."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from cogitate.budget import Ledger
from cogitate.core.asking import Ask
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.flow import Flow, gather
from cogitate.core.journal import Tape
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Completion, Embed, Generate, Reply, Request
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.drive import Breaker, Endpoints, ReplyCache, Retry, Run, replay, run, run_async
from cogitate.drive.admission import Admitted
from cogitate.drive.failover import Moved
from cogitate.drive.lanes import Item, Lane

COST = Usage(tokens_out=10, calls=1)


def down(reason: str = "no connection", kind: str = "refused", **more: Any) -> Failed:
    return Failed(reason, kind, transient=True, **more)


class Server:
    """One endpoint; `says` may be a failure, a function of the request, or nothing."""

    serves: frozenset[Any] = frozenset({Generate})

    def __init__(self, name: str, says: Any = None, hold: bool = False, **limits: Any) -> None:
        self.fingerprint, self.says, self.hold = name, says, hold
        self.limits = Limits(**({"concurrency": 4} | limits))
        self.asked: list[Any] = []
        self.open = asyncio.Event()
        self.running = self.peak = self.closed = 0

    def ceiling(self, request: Request[Any]) -> Usage:
        return Usage(tokens_out=request.max_tokens, calls=1, usd=1.0)

    async def serve(self, batch: Sequence[Any], emit: Any = None) -> Sequence[Any]:
        self.asked += [request.seed for request in batch]
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            if self.hold:
                await self.open.wait()
        finally:
            self.running -= 1
        return [self._one(request) for request in batch]

    def _one(self, request: Any) -> Any:
        said = self.says(request) if callable(self.says) else self.says
        return said or Reply(Completion(f"{self.fingerprint} {request.seed}"), COST)

    async def close(self) -> None:
        self.closed += 1


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def asked(seed: int, prompt: str | Prompt = "") -> Generate:
    return Generate(
        prompt if isinstance(prompt, Prompt) else Prompt.raw(prompt or f"q{seed}"), seed
    )


def pair(*says: Any, **known: Any) -> tuple[Endpoints, list[Server], Clock]:
    clock = Clock()
    servers = [Server(name, said) for name, said in zip("ABC", says, strict=False)]
    return Endpoints(servers, clock=clock, **known), servers, clock


async def ask(endpoints: Endpoints, seed: int, prompt: str | Prompt = "") -> Any:
    (outcome,) = await endpoints.serve([asked(seed, prompt)])
    return outcome


def go(flow: Any) -> Any:
    return asyncio.run(flow)


# ----------------------------------------------------------------------------- who is asked


def test_equal_endpoints_take_turns() -> None:
    async def flow() -> None:
        endpoints, (a, b, c), _ = pair(None, None, None)
        for seed in range(9):
            await ask(endpoints, seed)
        assert (a.asked, b.asked, c.asked) == ([0, 3, 6], [1, 4, 7], [2, 5, 8])

    go(flow())


def test_the_one_with_most_room_is_asked() -> None:
    async def flow() -> None:
        servers = [Server("A", hold=True, concurrency=2), Server("B", hold=True, concurrency=6)]
        endpoints = Endpoints(servers)
        tasks = [asyncio.ensure_future(ask(endpoints, seed)) for seed in range(8)]
        await asyncio.sleep(0)
        assert [s.running for s in servers] == [2, 6]
        assert endpoints.limits.concurrency == 8
        for server in servers:
            server.open.set()
        await asyncio.wait(tasks)

    go(flow())


def test_one_prefix_stays_where_it_is_cached() -> None:
    async def flow() -> None:
        endpoints, _, _ = pair(None, None, None)
        roots = [Prompt.raw(f"problem {i}") for i in range(6)]
        homes = [(await ask(endpoints, 0, root)).value.text[0] for root in roots]
        assert Counter(homes) == {"A": 2, "B": 2, "C": 2}
        for depth in range(4):
            roots = [root.then(f" step {depth}") for root in roots]
            for seed in range(3):
                for place in random.Random(depth + seed).sample(range(6), 6):
                    found = await ask(endpoints, seed, roots[place])
                    assert found.value.text[0] == homes[place]

    go(flow())


def test_a_prefix_goes_elsewhere_when_its_home_is_full() -> None:
    async def flow() -> None:
        servers = [Server("A", hold=True), Server("B", hold=True)]
        endpoints = Endpoints(servers)
        tasks = [asyncio.ensure_future(ask(endpoints, seed, "same")) for seed in range(7)]
        await asyncio.sleep(0)
        assert sorted(s.running for s in servers) == [3, 4]
        for server in servers:
            server.open.set()
        await asyncio.wait(tasks)

    go(flow())


# -------------------------------------------------------------------------- moves and circuits


def test_a_transient_failure_moves_elsewhere_and_a_refusal_does_not() -> None:
    async def flow() -> None:
        endpoints, (a, b), _ = pair(down(usage=COST), None)
        first = await ask(endpoints, 1)
        assert isinstance(first, Moved)
        assert (first.usage, first.retry_after_s, first.reason) == (COST, None, "no connection")
        assert isinstance(await ask(endpoints, 1), Reply)
        assert (a.asked, b.asked) == ([1], [1])
        a.says = Failed("too long", "too_long")
        for seed in (2, 3):
            outcome = await ask(endpoints, seed)
            assert isinstance(outcome, Reply) or outcome.kind == "too_long"
            assert not isinstance(outcome, Moved)

    go(flow())


def test_an_outage_of_all_is_not_hammered() -> None:
    async def flow() -> None:
        endpoints, _, _ = pair(down(), down())
        assert isinstance(await ask(endpoints, 1), Moved)
        second = await ask(endpoints, 1)
        assert not isinstance(second, Moved), "the other one failed a moment ago: a pause is due"
        assert second.transient

    go(flow())


def test_a_dead_endpoint_is_left_alone_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cogitate")

    async def flow() -> None:
        endpoints, (a, b), clock = pair(
            down("dead"), None, breaker=Breaker(failures=3, first_s=10, factor=2, most_s=30)
        )
        for seed in range(20):
            await ask(endpoints, seed)
        assert len(a.asked) == 3
        assert "A is left alone for 10 s: dead" in caplog.text
        assert endpoints.limits.concurrency == 4
        for tries, wait in ((4, 10), (5, 20), (6, 30), (7, 30)):
            clock.now += wait - 0.1
            for seed in range(20, 25):
                await ask(endpoints, seed)
            assert len(a.asked) == tries - 1
            clock.now += 0.1
            assert endpoints.limits.concurrency == 5, "one call tries it"
            for seed in range(20, 25):
                await ask(endpoints, seed)
            assert len(a.asked) == tries
        assert "left alone 5 times and does not answer: dead" in endpoints.notes[0]
        a.says = None
        clock.now += 30
        for seed in range(100, 110):
            assert isinstance(await ask(endpoints, seed), Reply)
        assert "A answers again" in caplog.text
        assert "answers again" in endpoints.notes[0]
        assert len(a.asked) > tries + 3
        assert endpoints.limits.concurrency == 8
        assert len(b.asked) > 20

    go(flow())


def test_only_one_call_tries_a_dead_endpoint() -> None:
    async def flow() -> None:
        endpoints, (a, b), clock = pair(down(), None, breaker=Breaker(failures=1, first_s=1))
        await ask(endpoints, 0)
        clock.now += 1
        a.hold = True
        tries = [asyncio.ensure_future(ask(endpoints, seed)) for seed in range(1, 6)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (a.running, len(b.asked)) == (1, 4)
        tries[0].cancel()
        await asyncio.wait(tries)
        a.hold, a.says = False, None
        await ask(endpoints, 9)
        assert a.asked[-1] == 9, "a trial that was cancelled says nothing: the next call tries"

    go(flow())


def test_calls_that_were_on_their_way_do_not_open_it_again() -> None:
    async def flow() -> None:
        endpoints, (a, b), clock = pair(down(), None, breaker=Breaker(failures=1, first_s=10))
        a.hold = b.hold = True
        calls = [asyncio.ensure_future(ask(endpoints, seed)) for seed in range(6)]
        await asyncio.sleep(0)
        assert a.running == 3
        a.open.set()
        b.open.set()
        await asyncio.wait(calls)
        assert "left alone once" in endpoints.notes[0]
        clock.now += 10
        a.says = None
        await ask(endpoints, 9)
        assert "answers again" in endpoints.notes[0]

    go(flow())


def test_an_answer_between_failures_keeps_the_circuit_closed() -> None:
    async def flow() -> None:
        flaky = lambda request: down() if request.seed % 3 else None  # noqa: E731
        endpoints, (a, _), _ = pair(flaky, flaky, breaker=Breaker(failures=3))
        for seed in range(60):
            await ask(endpoints, seed)
        assert not endpoints.notes
        assert len(a.asked) > 20

    go(flow())


def test_an_endpoint_that_was_down_when_opened_is_tried_later() -> None:
    async def flow() -> None:
        clock = Clock()
        a, b = Server("A"), Server("B")
        endpoints = Endpoints([a, b], clock=clock, down=[b], breaker=Breaker(first_s=5))
        for seed in range(4):
            await ask(endpoints, seed)
        assert b.asked == []
        clock.now += 5
        for seed in range(10, 14):
            await ask(endpoints, seed)
        assert len(b.asked) >= 2

    go(flow())


@pytest.mark.parametrize(("advice", "rest"), [(20.0, 20.0), (None, 1.0), (0.0, 0.0)])
def test_a_rate_limit_rests_only_its_endpoint(advice: float | None, rest: float) -> None:
    async def flow() -> None:
        busy = down("slow down", "rate_limited", retry_after_s=advice)
        endpoints, (a, b), clock = pair(busy, None, breaker=Breaker(failures=1))
        moved = await ask(endpoints, 0)
        assert isinstance(moved, Moved)
        a.says = None
        clock.now += rest - 0.01
        if rest:
            for seed in range(4):
                await ask(endpoints, seed)
            assert (len(a.asked), len(b.asked)) == (1, 4)
        clock.now += 0.01
        for seed in range(10, 14):
            await ask(endpoints, seed)
        assert len(a.asked) == 3
        assert not endpoints.notes, "it lives: its circuit stays closed"

    go(flow())


def test_a_rest_of_all_costs_no_attempt_but_ends() -> None:
    async def flow() -> None:
        busy = down("slow down", "rate_limited", retry_after_s=3.0)
        sent: list[int] = []

        def often_busy(request: Any) -> Any:
            sent.append(request.seed)
            return busy if len(sent) <= 10 else None

        endpoints, servers, clock = pair(often_busy, often_busy)
        done: list[Any] = []
        bench = Bench(endpoints, clock, done, Retry(attempts=3, jitter=0.0, patience_s=20.0))
        await bench.finish(range(200))
        assert len(done) == 200
        lost = [outcome for outcome in done if isinstance(outcome, Failed)]
        assert len(lost) <= 5, "only what was sent in vain, and not what waited"
        for server in servers:
            server.says = busy
        began = clock.now
        await bench.finish(range(1000, 1200))
        assert len(done) == 400
        assert all(isinstance(o, Failed) and o.kind == "rate_limited" for o in done[200:])
        assert clock.now - began < 30

    go(flow())


def test_a_used_up_quota_moves_too() -> None:
    async def flow() -> None:
        spent = Failed("insufficient_quota", "rate_limited")
        endpoints, (a, b), clock = pair(spent, None)
        assert isinstance(await ask(endpoints, 0), Moved)
        clock.now += 30
        for seed in range(4):
            assert isinstance(await ask(endpoints, seed), Reply)
        assert len(a.asked) == 1
        b.says = spent
        assert not isinstance(await ask(endpoints, 1), Moved)

    go(flow())


def test_with_nobody_left_it_says_so_and_when_to_come_back() -> None:
    async def flow() -> None:
        endpoints, servers, clock = pair(
            down("A is dead"), down("B is dead"), breaker=Breaker(failures=1, first_s=8)
        )
        await ask(endpoints, 0)
        clock.now += 2
        await ask(endpoints, 0)
        clock.now += 1
        said = await ask(endpoints, 0)
        assert "none of the 2 endpoints can be asked now; one said: A is dead" in said.reason
        assert (said.transient, said.retry_after_s, said.usage) == (True, 5.0, ZERO)
        assert [len(s.asked) for s in servers] == [1, 1]
        assert endpoints.limits.concurrency == 1, "one is let in, to hear when to come back"

    go(flow())


def test_what_cannot_stand_in_is_refused() -> None:
    a, b = Server("A"), Server("B")
    b.serves = frozenset({Embed})
    for engines in ([a], [a, a], [a, b]):
        with pytest.raises(InvalidInput):
            Endpoints(engines)
    for wrong in ({"failures": 0}, {"first_s": 0}, {"factor": 0.5}, {"pause_s": 0}):
        with pytest.raises(InvalidInput):
            Breaker(**wrong)


def test_the_ceiling_is_that_of_the_dearest() -> None:
    a, b = Server("A"), Server("B")
    b.ceiling = lambda request: Usage(tokens_out=5, calls=2, usd=None)  # type: ignore[method-assign]
    found = Endpoints([a, b]).ceiling(asked(1))
    assert (found.tokens_out, found.calls, found.usd) == (1024, 2, None)


def test_the_limits_are_those_of_all() -> None:
    a = Server("A", concurrency=3, max_batch=8, requests_per_minute=10)
    b = Server("B", concurrency=5, max_batch=4, requests_per_minute=5, tokens_per_minute=9)
    limits = Endpoints([a, b]).limits
    assert (limits.concurrency, limits.max_batch) == (8, 4)
    assert (limits.requests_per_minute, limits.tokens_per_minute) == (15, None)


# ------------------------------------------------------------------------- under a lane's clock


class Bench:
    """A lane with the clock of its endpoints."""

    def __init__(self, endpoints: Endpoints, clock: Clock, done: list[Any], retry: Retry) -> None:
        self.endpoints, self.clock, self.ledger = endpoints, clock, Ledger(Budget())
        self.lane = Lane(
            endpoints,
            clock,
            retry,
            lambda item, outcome: done.append(outcome),
            lambda item, text: None,
            lambda: None,
        )

    def add(self, seed: int) -> None:
        request = asked(seed)
        ceiling = self.endpoints.ceiling(request)
        hold = self.ledger.reserve("", ceiling)
        ask = Ask(f"#{seed}", request, "", "", ())
        self.lane.add(Item(Admitted(ask, request, self.endpoints, hold, ceiling)))

    async def finish(self, seeds: Iterable[int]) -> None:
        """Add, and let time pass until nothing waits."""
        for seed in seeds:
            self.add(seed)
        while (wake := await self.settle()) is not None:
            self.clock.now = wake

    async def settle(self) -> float | None:
        wake = self.lane.pump()
        while self.lane.running:
            await asyncio.sleep(0)
            wake = self.lane.pump()
        return wake


def test_a_lane_moves_at_once_and_waits_out_an_outage() -> None:
    async def flow() -> None:
        endpoints, (a, b), clock = pair(
            down(usage=COST), None, breaker=Breaker(failures=2, first_s=30)
        )
        done: list[Any] = []
        bench = Bench(endpoints, clock, done, Retry(jitter=0.0))
        bench.add(0)
        assert await bench.settle() is None
        (reply,) = done
        assert reply.value.text == "B 0", "no time has passed"
        assert reply.usage == COST + COST, "the failed attempt is charged"
        b.says = down("B too")
        await bench.finish([1, 2])
        assert [o.kind for o in done[1:]] == ["refused", "refused"]
        words = ("endpoints can be asked", "B too", "no connection")
        assert all(any(w in str(o) for w in words) for o in done[1:])
        assert len(a.asked) + len(b.asked) < 12, "five attempts each, and not all of them were sent"

    go(flow())


# --------------------------------------------------------------------------------- whole runs


async def samples(count: int) -> list[str]:
    return await gather(*(one(seed) for seed in range(count)), drop=(Failed,))


async def one(seed: int) -> str:
    return (await asked(seed)).text


def drive(flow: Flow[Any], engine: Any, **options: Any) -> Run[Any]:
    options = {"retry": Retry(first_s=0.001, most_s=0.01)} | options

    async def whole() -> Run[Any]:
        done = await run_async(flow, engine, **options)
        assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
        return done

    done = asyncio.run(whole())
    assert done.idle
    return done


def test_a_dead_endpoint_loses_no_answer() -> None:
    servers = [Server("A", down(usage=COST)), Server("B"), Server("C")]
    tape = Tape()
    done = drive(samples(60), Endpoints(servers), journal=tape, budget=Budget(tokens_out=10**6))
    assert len(done.value) == 60
    assert {text[0] for text in done.value} == {"B", "C"}
    assert 5 <= len(servers[0].asked) <= 8
    waste = len(servers[0].asked)
    assert done.usage == Usage(tokens_out=10 * (60 + waste), calls=60 + waste)
    assert {r["engine"] for _, r in tape.records if r["kind"] == "reply"} == {"B", "C"}
    assert replay(samples(60), Tape(tape.records)).value == done.value


def test_the_death_of_all_is_one_sentence_a_request() -> None:
    servers = [Server("A", down("A is dead")), Server("B", down("B is dead"))]
    said: list[str] = []

    async def flow() -> None:
        for seed in range(2):
            try:
                await one(seed)
            except Failed as failure:
                said.append(str(failure))

    endpoints = Endpoints(servers, breaker=Breaker(first_s=0.01, most_s=0.02))
    drive(flow(), endpoints)
    assert len(said) == 2
    assert all("dead" in sentence and "\n" not in sentence for sentence in said)
    assert endpoints.notes


def test_a_kept_reply_answers_for_any_endpoint(tmp_path: Any) -> None:
    a, b = Server("A"), Server("B")
    with ReplyCache(tmp_path) as cache:
        first = drive(samples(8), Endpoints([a, b]), cache=cache)
        assert {text[0] for text in first.value} == {"A", "B"}
        assert drive(samples(8), Endpoints([b, a]), cache=cache).value == first.value
        assert len(a.asked) + len(b.asked) == 8
        drive(samples(8), a, cache=cache)
        assert len(a.asked) == 8, "alone, it is asked only what the other had answered"


def test_it_works_without_a_loop_and_closes_all() -> None:
    servers = [Server("A"), Server("B")]
    endpoints = Endpoints(servers)
    assert run(samples(4), endpoints).value == ["A 0", "B 1", "A 2", "B 3"]
    asyncio.run(endpoints.close())
    assert [s.closed for s in servers] == [1, 1]
