"""A lane with a clock of its own: rates, batches, lingering, backoff."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cogitate.budget import Ledger
from cogitate.core.asking import Ask
from cogitate.core.errors import Failed
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Completion, Generate, Reply, Request
from cogitate.core.usage import Budget, Usage
from cogitate.drive.admission import Admitted
from cogitate.drive.lanes import Item, Lane, Retry

PROMPT = Prompt.raw("q")


class Echo:
    fingerprint = "echo"
    serves = frozenset({Generate})

    def __init__(self, answer: Callable[[Any], Any] | None = None, **limits: Any) -> None:
        self.limits = Limits(**({"concurrency": 1000} | limits))
        self.answer = answer
        self.batches: list[list[int]] = []

    def ceiling(self, request: Request[Any]) -> Usage:
        return Usage(tokens_out=100, calls=1)

    async def serve(self, batch: Sequence[Any], emit: Any) -> Sequence[Any]:
        self.batches.append([r.seed for r in batch])
        await asyncio.sleep(0)
        if self.answer is not None:
            return [self.answer(r) for r in batch]
        return [Reply(Completion(str(r.seed)), Usage(tokens_out=10, calls=1)) for r in batch]

    async def close(self) -> None: ...


class Bench:
    """A lane, its clock, and what it finished."""

    def __init__(self, engine: Echo, retry: Retry | None = None) -> None:
        self.now = 0.0
        self.done: list[tuple[Item, Any]] = []
        self.engine, self.ledger = engine, Ledger(Budget())
        self.lane = Lane(
            engine,
            lambda: self.now,
            retry or Retry(),
            lambda item, outcome: self.done.append((item, outcome)),
            lambda item, text: None,
            lambda: None,
        )

    def add(self, *seeds: int, prompt: Prompt = PROMPT) -> list[Item]:
        items: list[Item] = []
        for seed in seeds:
            request = Generate(prompt, seed=seed)
            ceiling = self.engine.ceiling(request)
            ask = Ask(f"#{seed}", request, "", "", (seed,))
            hold = self.ledger.reserve("", ceiling)
            items.append(Item(Admitted(ask, request, self.engine, hold, ceiling)))
            self.lane.add(items[-1])
        return items

    async def settle(self) -> float | None:
        """Pump until nothing moves; when it wants to be pumped again."""
        wake = self.lane.pump()
        while self.lane.running:
            await asyncio.sleep(0)
            wake = self.lane.pump()
        return wake

    def served(self) -> list[int]:
        return [seed for batch in self.engine.batches for seed in batch]


def go(flow: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(flow())  # type: ignore[arg-type]


def test_requests_a_minute_are_kept() -> None:
    async def flow() -> None:
        bench = Bench(Echo(requests_per_minute=3))
        bench.add(*range(8))
        assert await bench.settle() == 60
        assert bench.served() == [0, 1, 2]
        bench.now = 59.9
        assert await bench.settle() == 60
        assert bench.served() == [0, 1, 2]
        bench.now = 60
        assert await bench.settle() == 120
        bench.now = 120
        assert await bench.settle() is None
        assert bench.served() == list(range(8))

    go(flow)


def test_tokens_a_minute_are_kept_by_ceilings() -> None:
    async def flow() -> None:
        bench = Bench(Echo(tokens_per_minute=250))
        bench.add(*range(3))
        assert await bench.settle() == 60
        assert bench.served() == [0, 1]
        bench.now = 61
        await bench.settle()
        assert bench.served() == [0, 1, 2]

    go(flow)


def test_a_request_larger_than_the_rate_is_sent_alone() -> None:
    async def flow() -> None:
        bench = Bench(Echo(tokens_per_minute=50))
        bench.add(0, 1)
        assert await bench.settle() == 60
        assert bench.served() == [0]

    go(flow)


def test_a_batch_waits_for_others_only_while_the_engine_is_busy() -> None:
    async def flow() -> None:
        bench = Bench(Echo(max_batch=4, mixed=True, linger_s=0.5))
        bench.add(0)
        bench.lane.pump()
        assert len(bench.lane.running) == 1, "an idle engine starts at once"
        bench.now = 0.1
        bench.add(1, 2)
        assert bench.lane.pump() == 0.6
        bench.add(3, 4)
        assert bench.lane.pump() is None
        assert len(bench.lane.running) == 2, "a full batch does not wait"
        bench.add(5)
        bench.now = 0.6
        bench.lane.pump()
        assert len(bench.lane.running) == 3
        await bench.settle()
        assert bench.engine.batches == [[0], [1, 2, 3, 4], [5]]

    go(flow)


def test_one_group_that_lingers_does_not_hold_up_the_next() -> None:
    async def flow() -> None:
        bench = Bench(Echo(max_batch=2, linger_s=1.0))
        bench.add(0)
        bench.lane.pump()
        bench.add(1)
        bench.add(2, 3, prompt=Prompt.raw("other"))
        assert bench.lane.pump() == 1.0
        await asyncio.sleep(0)
        assert bench.engine.batches == [[0], [2, 3]]
        await bench.settle()

    go(flow)


def test_backoff_grows_and_honours_the_server() -> None:
    retry = Retry(first_s=1, factor=3, most_s=20, jitter=0)
    assert [retry.pause(n, None) for n in (1, 2, 3, 4)] == [1, 3, 9, 20]
    assert retry.pause(1, 7.5) == 7.5
    assert retry.pause(3, 7.5) == 9
    jittered = {Retry(first_s=1, jitter=0.25).pause(1, None) for _ in range(50)}
    assert len(jittered) > 1
    assert all(0.75 <= pause <= 1.25 for pause in jittered)


def test_what_failed_waits_its_time_while_others_go_on() -> None:
    async def flow() -> None:
        failed: set[int] = set()

        def answer(request: Any) -> Any:
            if request.seed == 0 and 0 not in failed:
                failed.add(0)
                return Failed("busy", transient=True, retry_after_s=5)
            return Reply(Completion(str(request.seed)))

        bench = Bench(Echo(answer), Retry(first_s=1, jitter=0))
        bench.add(0, 1)
        assert await bench.settle() == 5
        assert [item.admitted.ask.at for item, _ in bench.done] == ["#1"]
        bench.now = 5
        assert await bench.settle() is None
        assert bench.served() == [0, 1, 0]
        assert isinstance(bench.done[-1][1], Reply)

    go(flow)


def test_forgetting_is_linear_in_what_is_forgotten() -> None:
    async def flow() -> None:
        bench = Bench(Echo(concurrency=1))
        items = bench.add(*range(3000))
        looked = 0

        class Counted(dict[str, Any]):
            def items(self) -> Any:  # a search through the queue would come by here
                nonlocal looked
                looked += len(self)
                return super().items()

        bench.lane.queue = Counted(bench.lane.queue)
        for item in items[:-1]:
            bench.lane.forget(item)
        assert looked == 0
        await bench.settle()
        assert bench.served() == [2999]
        assert bench.lane.take_back() == []
        assert bench.lane.queue == {}

    go(flow)


def test_what_is_forgotten_while_it_waits_for_a_retry_is_not_sent() -> None:
    async def flow() -> None:
        bench = Bench(Echo(lambda r: Failed("busy", transient=True)), Retry(first_s=1, jitter=0))
        (item,) = bench.add(0)
        await bench.settle()
        bench.lane.forget(item)
        bench.now = 9
        assert await bench.settle() is None
        assert bench.served() == [0]

    go(flow)


def test_a_task_cut_before_it_began_costs_nothing_and_is_answered() -> None:
    async def flow() -> None:
        bench = Bench(Echo())
        bench.add(0)
        bench.lane.pump()
        (task,) = bench.lane.running
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)
        ((_, outcome),) = bench.done
        assert (outcome.kind, outcome.usage) == ("cancelled", Usage())
        assert bench.engine.batches == []

    go(flow)
