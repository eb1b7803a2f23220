"""Engines behind the memory of a run: what is known, or on its way, is not asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cogitate.bench.remembering import Interrupted, Memory, Remembering
from cogitate.core.errors import Failed
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Emit, silent
from cogitate.core.requests import Completion, Generate, Reply, Request
from cogitate.core.usage import Usage
from cogitate.drive import Stop
from cogitate.testing import FakeEngine


class Slow(FakeEngine):
    """Answers after a turn of the loop with the request's seed, and fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.asked: list[int] = []
        self._failures = failures

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        seeds = [request.body()["seed"] for request in batch]
        self.asked += seeds
        await asyncio.sleep(0.001)
        if self._failures:
            self._failures -= 1
            return [Failed("gone") for _ in batch]
        for index, seed in enumerate(seeds):
            emit(index, str(seed))
        return [Reply(Completion(str(seed)), Usage(tokens_out=1, calls=1)) for seed in seeds]


def asking(*seeds: int) -> list[Request[Any]]:
    return [Generate(Prompt.raw("2 + 2?"), seed=seed) for seed in seeds]


def told(outcomes: Sequence[Reply[Any] | Failed]) -> list[tuple[str, bool]]:
    return [
        (o.value.text, o.cached) if isinstance(o, Reply) else ("failed", False) for o in outcomes
    ]


def test_equal_requests_of_a_batch_are_asked_once() -> None:
    engine = Slow()
    heard: list[tuple[int, str]] = []
    before = Remembering(engine, Memory())
    outcomes = asyncio.run(before.serve(asking(1, 2, 1), lambda i, text: heard.append((i, text))))
    assert told(outcomes) == [("1", False), ("2", False), ("1", True)]
    again = asyncio.run(before.serve(asking(3, 2), lambda i, text: heard.append((i, text))))
    assert told(again) == [("3", False), ("2", True)]
    assert engine.asked == [1, 2, 3]
    assert heard == [(0, "1"), (1, "2"), (0, "3")]
    assert before.served == 5
    assert before.paid == Usage(tokens_out=3, calls=3)


def test_what_is_on_its_way_is_waited_for() -> None:
    engine = Slow()
    before = Remembering(engine, Memory())

    async def both() -> list[list[tuple[str, bool]]]:
        batches = [before.serve(asking(1, 2)), before.serve(asking(2, 3)), before.serve(asking(2))]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(batch) for batch in batches]
        return [told(task.result()) for task in tasks]

    assert asyncio.run(both()) == [
        [("1", False), ("2", False)],
        [("2", True), ("3", False)],
        [("2", True)],
    ]
    assert sorted(engine.asked) == [1, 2, 3]


def test_the_failure_of_one_is_not_that_of_the_next() -> None:
    engine = Slow(failures=1)
    before = Remembering(engine, Memory())

    async def both() -> list[list[tuple[str, bool]]]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(before.serve(asking(1))) for _ in range(2)]
        return [told(task.result()) for task in tasks]

    assert asyncio.run(both()) == [[("failed", False)], [("1", False)]]
    assert engine.asked == [1, 1]


def test_a_stopped_run_asks_nothing_more() -> None:
    engine, stop = Slow(), Stop()
    before = Remembering(engine, Memory(), stop)
    stop.request("interrupted")
    with pytest.raises(Interrupted):
        asyncio.run(before.serve(asking(1)))
    assert engine.asked == []
