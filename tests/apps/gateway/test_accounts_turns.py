"""Slots and their queue: fair between keys, bounded, and left by whoever goes away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.apps.gateway.accounts import Overloaded, Turns
from cogitate.core.errors import InvalidInput


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_crowd_does_not_starve_a_newcomer() -> None:
    async def test() -> None:
        turns = Turns(4, 2000)
        served: list[str] = []

        async def ask(key: str) -> None:
            await turns.take(key)
            served.append(key)
            await asyncio.sleep(0)
            turns.give(key)

        crowd = [asyncio.create_task(ask("crowd")) for _ in range(1000)]
        await settle()
        before = len(served)
        lone = asyncio.create_task(ask("lone"))
        await lone
        assert len(served) - before <= 16, (
            "it waits for some steps of four requests, not for a thousand"
        )
        await asyncio.wait(crowd)
        assert Counter(served) == {"crowd": 1000, "lone": 1}
        assert (turns.running, turns.waiting) == (0, 0)

    run(test)


def test_slots_are_shared_equally_whatever_their_length() -> None:
    """A key whose requests take long has as many slots as one whose requests are short, and no more."""

    async def test() -> None:
        turns = Turns(6, 1000)
        busy: Counter[str] = Counter()
        begun: Counter[str] = Counter()
        seen: list[tuple[int, int]] = []

        async def ask(key: str, length: int) -> None:
            await turns.take(key)
            busy[key] += 1
            begun[key] += 1
            if max(begun.values()) < 200:  # as long as all three have more to do
                seen.append((busy["long"], turns.running))
            for _ in range(length):
                await asyncio.sleep(0)
            busy[key] -= 1
            turns.give(key)

        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                for key, length in (("long", 50), ("short", 2), ("third", 5)):
                    group.create_task(ask(key, length))
        late = seen[20:]
        assert late
        assert max(long for long, _ in late) <= 3
        assert {running for _, running in late} == {6}, "no slot stands idle"

    run(test)


def test_a_full_queue_gives_way_to_who_waits_less() -> None:
    async def test() -> None:
        turns = Turns(1, 10)
        await turns.take("crowd")
        crowd = [asyncio.create_task(turns.take("crowd")) for _ in range(10)]
        await settle()
        with pytest.raises(Overloaded) as refused:
            await turns.take("crowd")
        assert refused.value.headers["Retry-After"].isdigit()
        lone = asyncio.create_task(turns.take("lone"))
        await settle()
        assert [task.done() for task in crowd] == [False] * 9 + [True]
        with pytest.raises(Overloaded):
            await crowd[-1]
        assert turns.waiting == 10
        turns.give("crowd")
        await crowd[0]
        turns.give("crowd")
        await lone
        turns.give("lone")
        await crowd[1]
        for task in crowd:
            task.cancel()

    run(test)


def test_no_queue_at_all() -> None:
    async def test() -> None:
        turns = Turns(1, 0)
        await turns.take("a")
        for key in ("a", "b"):
            with pytest.raises(Overloaded):
                await turns.take(key)
        turns.give("a")
        await turns.take("b")

    run(test)


def test_whoever_goes_away_has_left_the_queue() -> None:
    async def test() -> None:
        turns = Turns(1, 10)
        await turns.take("a")
        first, second = (asyncio.create_task(turns.take(key)) for key in ("b", "c"))
        await settle()
        first.cancel()
        await settle()
        assert turns.waiting == 1
        turns.give("a")
        await second
        assert (turns.running, turns.waiting) == (1, 0)

    run(test)


def test_a_slot_that_comes_as_its_owner_goes_is_passed_on() -> None:
    async def test() -> None:
        turns = Turns(1, 10)
        await turns.take("a")
        first, second = (asyncio.create_task(turns.take(key)) for key in ("b", "c"))
        await settle()
        turns.give("a")  # the ticket of `first` is granted, and before it runs …
        first.cancel()
        await second
        assert first.cancelled()
        turns.give("c")
        assert (turns.running, turns.waiting) == (0, 0)

    run(test)


def test_a_slot_is_not_given_to_who_is_about_to_go() -> None:
    async def test() -> None:
        turns = Turns(1, 10)
        await turns.take("a")
        first, second = (asyncio.create_task(turns.take(key)) for key in ("b", "c"))
        await settle()
        first.cancel()  # its ticket is dead, and before it runs …
        turns.give("a")
        await second
        assert first.cancelled()
        assert (turns.running, turns.waiting) == (1, 0)

    run(test)


def test_patience_ends() -> None:
    async def test() -> None:
        turns = Turns(1, 10, patience_s=0.01)
        await turns.take("a")
        with pytest.raises(Overloaded, match=r"within 0\.01 s"):
            await turns.take("b")
        assert turns.waiting == 0

    run(test)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(0, 4),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("ask give cancel")), max_size=30),
)
def test_slots_never_leak(slots: int, room: int, steps: list[tuple[str, str]]) -> None:
    async def test() -> None:
        turns = Turns(slots, room)
        asked: list[tuple[str, asyncio.Task[None]]] = []
        have: list[str] = []
        for key, step in steps:
            if step == "a":
                asked.append((key, asyncio.create_task(turns.take(key))))
            elif step == "g" and have:
                turns.give(have.pop())
            elif asked:
                asked[-1][1].cancel()
            if len(steps) % 2:  # sometimes several things happen at one moment
                await settle()
            for pair in [p for p in asked if p[1].done()]:
                asked.remove(pair)
                if not pair[1].cancelled() and pair[1].exception() is None:
                    have.append(pair[0])
            assert turns.running <= slots
            assert turns.waiting <= room
        for _, task in asked:
            task.cancel()
        await settle()
        for key, task in asked:
            if not task.cancelled() and task.exception() is None:
                have.append(key)
        for key in have:
            turns.give(key)
        assert (turns.running, turns.waiting) == (0, 0)

    run(test)


def test_bounds_make_sense() -> None:
    for slots, waiting in ((0, 1), (1, -1)):
        with pytest.raises(InvalidInput, match="at least 1 is in flight"):
            Turns(slots, waiting)
