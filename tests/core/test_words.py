"""The nine words, and how a flow ends."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cogitate.core.errors import Failed, InvalidInput, OutOfBudget, Stalled
from cogitate.core.events import Noted
from cogitate.core.flow import (
    Flow,
    Pool,
    each,
    gather,
    note,
    remaining,
    set_aside,
    settled,
    within,
)
from cogitate.core.journal import Tape
from cogitate.core.machine import Machine
from cogitate.core.requests import Call, Reply
from cogitate.core.usage import Budget


async def ask(name: object) -> Any:
    return await Call("f", (name,))


def name_of(request: Any) -> Any:
    return request.args[0]


def finish(machine: Machine[Any], answer: Callable[[Any], Any] = name_of) -> Any:
    """Answer in address order until the flow ends."""
    while not machine.done:
        for found in machine.pending():
            if machine.wants(found.at):
                outcome = answer(found.request)
                machine.tell(
                    found.at,
                    outcome if isinstance(outcome, Failed | OutOfBudget) else Reply(outcome),
                )
    return machine.result


def at_of(machine: Machine[Any], name: object) -> str:
    return next(a.at for a in machine.pending() if name_of(a.request) == name)


@pytest.fixture(autouse=True)
def no_open_coroutine() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


# ------------------------------------------------------------------------------------ gather


def test_gather_keeps_the_order_of_its_flows() -> None:
    machine = Machine(gather(ask("a"), ask("b"), ask("c")))
    for name in ("c", "a", "b"):
        machine.tell(at_of(machine, name), Reply(name.upper()))
    assert machine.result == ["A", "B", "C"]


def test_gather_of_nothing_is_empty() -> None:
    assert Machine(gather()).result == []


def test_gather_leaves_out_what_is_dropped_and_keeps_the_rest() -> None:
    async def flow() -> list[Any]:
        return await gather(ask(1), ask(2), ask(3), drop=(OutOfBudget, Failed))

    def answer(request: Any) -> Any:
        return {1: OutOfBudget("calls", 1, 0), 2: 2, 3: Failed("no")}[name_of(request)]

    assert finish(Machine(flow()), answer) == [2]


def test_the_first_error_of_a_gather_cancels_its_siblings() -> None:
    ended: list[str] = []

    async def child(name: str) -> None:
        try:
            await ask(name)
            if name == "bad":
                raise ValueError("bad")
            await ask(name + "2")
        finally:
            ended.append(name)

    async def flow() -> str:
        try:
            await gather(child("a"), child("bad"), gather(child("b"), child("c")))
        except ValueError:
            return "caught"
        return "not raised"

    machine = Machine(flow())
    machine.take(at_of(machine, "c"))
    machine.tell(at_of(machine, "bad"), Reply(0))
    assert machine.result == "caught"
    assert sorted(ended) == ["a", "b", "bad", "c"]
    assert len(machine.cancelled) == 1  # only what was claimed needs to be called back


def test_the_siblings_are_gone_while_their_parent_goes_on() -> None:
    async def flow() -> Any:
        try:
            await gather(ask("bad"), ask("sibling"))
        except Failed:
            return await ask("after")

    machine = Machine(flow())
    machine.tell(at_of(machine, "bad"), Failed("bad"))
    assert [name_of(a.request) for a in machine.pending()] == ["after"]
    machine.close()


# -------------------------------------------------------------------------------------- Pool


def test_a_pool_gives_what_arrives_first() -> None:
    async def flow() -> list[tuple[int, Any]]:
        async with Pool() as pool:
            for name in "abc":
                await pool.add(ask(name))
            return [await pool.next() for _ in range(3)]

    machine = Machine(flow())
    for name in "cab":
        machine.tell(at_of(machine, name), Reply(name))
    assert machine.result == [(2, "c"), (0, "a"), (1, "b")]


def test_leaving_a_pool_cancels_what_still_runs() -> None:
    async def flow() -> Any:
        async with Pool() as pool:
            for name in range(100):
                await pool.add(ask(name))
            return await pool.next()

    machine = Machine(flow())
    machine.tell(at_of(machine, 7), Reply("seven"))
    assert machine.result == (7, "seven")
    assert machine._open == {}


def test_next_on_an_empty_pool_raises() -> None:
    async def flow() -> str:
        async with Pool() as pool:
            try:
                await pool.next()
            except Stalled as error:
                return str(error)
        return ""

    assert "nothing runs" in Machine(flow()).result


def test_next_raises_the_error_of_its_child_and_the_pool_goes_on() -> None:
    async def bad() -> None:
        raise KeyError("bad")

    async def flow() -> Any:
        async with Pool() as pool:
            await pool.add(bad())
            await pool.add(ask("good"))
            with pytest.raises(KeyError):
                await pool.next()
            return await pool.next()

    assert finish(Machine(flow())) == (1, "good")


def test_an_error_that_nobody_collected_is_raised_on_leaving() -> None:
    async def bad() -> None:
        raise KeyError("lost")

    async def flow() -> None:
        async with Pool() as pool:
            await pool.add(bad())
            await ask("meanwhile")

    with pytest.raises(KeyError, match="lost"):
        finish(Machine(flow()))


@pytest.mark.parametrize("ordinary", [OutOfBudget("calls", 1, 0), Failed("dead")])
def test_a_refusal_that_nobody_collected_is_ordinary(ordinary: Exception) -> None:
    async def flow() -> str:
        async with Pool() as pool:
            await pool.add(ask("x"))
            await ask("y")
        return "fine"

    machine = Machine(flow())
    machine.tell(at_of(machine, "x"), ordinary)  # type: ignore[arg-type]
    machine.tell(at_of(machine, "y"), Reply(0))
    assert machine.result == "fine"


def test_the_error_of_the_block_goes_before_an_uncollected_one() -> None:
    async def bad() -> None:
        raise KeyError("lost")

    async def flow() -> None:
        async with Pool() as pool:
            await pool.add(bad())
            await ask("meanwhile")
            raise LookupError("first")

    with pytest.raises(LookupError, match="first"):
        finish(Machine(flow()))


def test_a_pool_has_one_owner() -> None:
    async def thief(pool: Pool[Any]) -> Any:
        return await pool.next()

    async def adder(pool: Pool[Any]) -> Any:
        return await pool.add(ask("never"))

    async def flow(second: Callable[[Pool[Any]], Flow[Any]]) -> Any:
        async with Pool() as pool:
            await pool.add(ask("mine"))
            try:
                await gather(second(pool))
            except RuntimeError as error:
                return str(error)

    assert "two flows" in Machine(flow(thief)).result
    assert "two flows" in Machine(flow(adder)).result


# -------------------------------------------------------------------------------------- each


def collect(source: Any, **options: Any) -> Flow[list[Any]]:
    async def flow() -> list[Any]:
        return [value async for value in each(source, ask, **options)]

    return flow()


def test_each_gives_results_in_the_order_of_the_source() -> None:
    machine = Machine(collect(range(6), at_most=3))
    while not machine.done:
        last = machine.pending()[-1]
        machine.tell(last.at, Reply(name_of(last.request)))
    assert machine.result == [0, 1, 2, 3, 4, 5]


def test_each_reads_no_further_than_it_must() -> None:
    read: list[int] = []

    def source() -> Iterator[int]:
        for i in range(1000):
            read.append(i)
            yield i

    machine = Machine(collect(source(), at_most=4))
    assert len(read) == 4
    for name in (3, 2, 1):  # the first holds the others back
        machine.tell(at_of(machine, name), Reply(name))
        assert len(read) == 4
    machine.tell(at_of(machine, 0), Reply(0))
    assert len(read) == 8
    machine.close()


def test_each_raises_an_error_at_its_turn() -> None:
    async def flow() -> list[Any]:
        found: list[Any] = []
        results = each(range(4), ask, at_most=4)
        while True:
            try:
                found.append(await anext(results))
            except StopAsyncIteration:
                return found
            except Failed as failure:
                found.append(failure.reason)

    machine = Machine(flow())
    machine.tell(at_of(machine, 2), Failed("two"))
    for name in (3, 1, 0):
        machine.tell(at_of(machine, name), Reply(name))
    assert machine.result == [0, 1, "two", 3]


def test_an_abandoned_loop_leaves_nothing() -> None:
    async def flow() -> Any:
        async for value in each(range(50), ask, at_most=10):
            return value
        return None

    machine = Machine(flow())
    machine.tell(at_of(machine, 0), Reply("zero"))
    assert machine.result == "zero"
    assert machine._open == {}


def test_two_loops_of_one_flow_do_not_share_streams() -> None:
    async def flow() -> list[Any]:
        first = [v async for v in each("ab", ask, codec=Plain())]
        return first + [v async for v in each("cd", ask, codec=Plain())]

    tape = Tape()
    assert finish(Machine(flow(), tape)) == ["a", "b", "c", "d"]
    assert Machine(flow(), Tape(tape.records)).result == ["a", "b", "c", "d"]


def test_children_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'same'"):
        finish(Machine(collect("ab", stream=lambda _: "same"), Tape()))


class Plain:
    def encode(self, value: Any) -> Any:
        return value

    def decode(self, raw: Any) -> Any:
        return raw


# ------------------------------------------------------- accounts, notes, foreign awaitables


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def opened(self, account: str, parent: str, grant: Budget, reserved: bool) -> None:
        self.lines.append(("open", account.partition("@")[0], parent.partition("@")[0], reserved))

    def closed(self, account: str) -> None:
        self.lines.append(("close", account.partition("@")[0]))

    def charged(self, account: str, role: str, usage: Any) -> None: ...


def test_within_runs_a_child_on_its_own_account() -> None:
    log = Log()
    machine = Machine(within("cap", Budget(calls=1), ask("x")), books=log)
    assert machine.pending()[0].account.startswith("/cap@")
    machine.tell(machine.pending()[0].at, Reply(1))
    assert log.lines == [("open", "/cap", "", False), ("close", "/cap")]


@pytest.mark.parametrize("end", ["leave", "fail", "cancel", "close"])
def test_a_reservation_is_given_back_however_its_flow_ends(end: str) -> None:
    async def holder() -> Any:
        async with set_aside("a", Budget(calls=3)), set_aside("b", Budget(calls=1)) as inner:
            await inner.run(ask("paid"))
            if end == "fail":
                raise ValueError

    async def flow() -> None:
        async with Pool() as pool:
            await pool.add(holder())
            await ask("go")

    log = Log()
    machine = Machine(flow(), books=log)
    for name in ("a", "b"):
        asked = next(a for a in machine.pending() if type(a.request).__name__ == "SetAside")
        machine.tell(asked.at, Reply(f"/{name}"))
    assert machine.pending()[-1].account == "/b" or machine.pending()[0].account == "/b"
    if end == "close":
        machine.close()
    elif end == "cancel":
        machine.tell(at_of(machine, "go"), Reply(0))
    else:
        machine.tell(at_of(machine, "paid"), Reply(0))
        machine.close()
    assert log.lines[-2:] == [("close", "/b"), ("close", "/a")]  # the inner one first


def test_remaining_is_asked_of_the_driver() -> None:
    machine = Machine(remaining())
    machine.tell(machine.pending()[0].at, Reply(Budget(calls=3)))
    assert machine.result == Budget(calls=3)


def test_notes_and_settled_text_are_published() -> None:
    async def flow() -> None:
        await note("kept", child=3)
        await settled("So far")

    heard: list[Any] = []
    Machine(flow(), listen=heard.append)
    noted = [(e.kind, dict(e.data)) for e in heard if isinstance(e, Noted)]
    assert noted == [("kept", {"child": 3}), ("settled", {"text": "So far"})]


@pytest.mark.parametrize("inside", [False, True], ids=["without a loop", "inside a loop"])
def test_foreign_awaitables_are_refused_with_a_sentence(inside: bool) -> None:
    async def flow() -> None:
        await asyncio.sleep(0 if not inside else 60)

    async def loop() -> None:
        Machine(flow()).result  # noqa: B018

    with pytest.raises(TypeError, match="may only await requests and the words"):
        asyncio.run(loop()) if inside else Machine(flow()).result


def test_a_foreign_future_is_refused() -> None:
    async def loop() -> str:
        future = asyncio.get_running_loop().create_future()

        async def flow() -> str:
            try:
                await future
            except TypeError as error:
                return str(error)
            return ""

        return Machine(flow()).result

    assert "event loop's futures" in asyncio.run(loop())


# ----------------------------------------------------------------------------------- endings


def test_cleanup_may_not_await() -> None:
    ended: list[str] = []

    async def untidy() -> None:
        try:
            await ask("a")
        finally:
            await ask("b")
            await note("c")

    async def tidy() -> None:
        try:
            await ask("d")
        finally:
            ended.append("tidy")

    machine = Machine(gather(untidy(), tidy(), untidy()))
    with pytest.raises(RuntimeError, match=r"untidy awaits while .* cleanup may not await"):
        machine.close()
    assert ended == ["tidy"], "one flow's untidy cleanup must not keep the others open"
    assert machine.done


def test_closing_leaves_no_open_coroutine() -> None:
    opened, ended = [], []

    async def child(depth: int) -> None:
        opened.append(depth)
        try:
            if depth:
                await gather(*(child(depth - 1) for _ in range(3)))
            await ask(depth)
        finally:
            ended.append(depth)

    machine = Machine(child(3))
    machine.take(machine.pending()[0].at)
    machine.close()
    assert len(ended) == len(opened) == 40
    assert machine.pending() == []
    assert not machine.wants("0/0/0/0/0/0#0")
    machine.close()
    with pytest.raises(Stalled, match="closed before"):
        machine.result  # noqa: B018


def test_flows_that_never_began_are_closed_without_a_warning() -> None:
    async def flow() -> None:
        async with Pool() as pool:
            await pool.add(within("w", Budget(), gather(ask(1), ask(2))))
            raise ValueError  # the child was started by nobody yet

    machine = Machine(flow())
    with pytest.raises(ValueError):  # noqa: PT011
        machine.result  # noqa: B018
    gc.collect()


def test_a_flow_that_waits_for_nothing_stalls() -> None:
    async def inner(pool: Pool[Any]) -> None:
        await pool.next()

    class Never:
        def __await__(self) -> Any:
            from cogitate.core.flow import Next

            pool: Pool[Any] = Pool()
            pool.live = 1  # as a lost arrival would leave it
            return (yield Next(pool))

    async def flow() -> None:
        await Never()

    machine = Machine(flow())
    with pytest.raises(Stalled, match="nothing is asked"):
        machine.pending()
    machine.close()


@pytest.mark.parametrize("size", [100, 1000])
def test_cancelling_is_linear_in_what_is_cancelled(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogitate.core import machine as room

    steps = 0
    original = room.discard

    def counted(flow: Any) -> None:
        nonlocal steps
        steps += 1
        original(flow)

    monkeypatch.setattr(room, "discard", counted)

    async def flow() -> None:
        async with Pool() as pool:
            for i in range(size):
                await pool.add(ask(i))
            for _ in range(10):
                await pool.next()

    machine = Machine(flow())
    for i in range(10):
        machine.tell(at_of(machine, i), Reply(i))
    assert machine.done
    assert steps == size - 10


def test_a_deep_chain_is_cancelled_without_recursion() -> None:
    async def deep(left: int) -> None:
        await (gather(deep(left - 1)) if left else ask("end"))

    machine = Machine(deep(3000))
    machine.close()
    assert machine.done


def test_a_machine_that_cannot_begin_leaves_nothing_open() -> None:
    from cogitate.core.errors import ReplayMismatch

    ended: list[str] = []

    async def child(name: str) -> None:
        try:
            await ask(name)
        finally:
            ended.append(name)

    async def flow(name: str) -> None:
        await gather(child(name), child("b"))

    tape = Tape()
    finish(Machine(flow("a"), tape))
    ended.clear()
    with pytest.raises(ReplayMismatch):
        Machine(flow("changed"), Tape(tape.records))
    assert sorted(ended) == ["b", "changed"], "closed at once, not when memory is collected"
