"""pending, take, offer, tell and late; addresses that do not depend on timing."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.events import Answered, Asked
from cogitate.core.flow import Pool, each, gather, note, within
from cogitate.core.journal import Tape
from cogitate.core.machine import Machine
from cogitate.core.requests import Call, Reply
from cogitate.core.usage import Budget, Usage

COST = Usage(tokens_out=5, calls=1)


async def ask(*name: object) -> Any:
    return await Call("f", name)


async def tree(depth: int, width: int, label: str = "r") -> Any:
    """Branches of unequal length, with a counter of their own."""
    found = [await ask(label, depth)]
    if depth:
        found += await gather(*(tree(depth - 1, width, f"{label}{i}") for i in range(width)))
    await note("done", label=label)
    return [*found, await within("cap", Budget(), ask(label, "last"))]


def test_pending_is_idempotent_and_in_address_order() -> None:
    machine = Machine(tree(1, 12))
    machine.tell(machine.pending()[0].at, Reply(0))
    first = machine.pending()
    assert [a.at for a in first] == [f"1/{i}#0" for i in range(12)]  # not 1/0, 1/1, 1/10, …
    assert machine.pending() == first


def test_what_is_taken_is_not_pending_until_it_is_offered_again() -> None:
    machine = Machine(gather(ask("a"), ask("b")))
    at = machine.pending()[0].at
    taken = machine.take(at)
    assert [a.request.args for a in machine.pending()] == [("b",)]
    assert machine.wants(at)
    with pytest.raises(KeyError):
        machine.take(at)
    machine.offer(at)
    machine.offer(at)
    assert machine.pending()[0] is taken
    machine.take(at)
    machine.tell(at, Reply("A"))
    machine.offer(at)  # told meanwhile: nothing to give back
    assert len(machine.pending()) == 1


def test_a_second_tell_is_refused_and_changes_nothing() -> None:
    machine = Machine(gather(ask("a"), ask("b")))
    first, second = (a.at for a in machine.pending())
    machine.tell(first, Reply("A"))
    with pytest.raises(KeyError):
        machine.tell(first, Reply("again"))
    machine.tell(second, Reply("B"))
    assert machine.result == ["A", "B"]


def asked(seed: int, tape: Tape | None = None) -> tuple[dict[str, str], Any]:
    """Every address with the digest of its request, when answers come in random order."""
    heard: dict[str, str] = {}

    def listen(event: Any) -> None:
        if isinstance(event, Asked):
            heard[event.at] = event.request.key()

    machine = Machine(tree(3, 3), tape, listen=listen)
    rng = random.Random(seed)
    while not machine.done:
        found = rng.choice(machine.pending())
        machine.tell(found.at, Reply(found.request.args[0]))
    return heard, machine.result


@settings(max_examples=30, deadline=None)
@given(st.integers())
def test_addresses_do_not_depend_on_the_order_of_answers(seed: int) -> None:
    assert asked(seed) == asked(0)


def test_a_late_answer_is_journaled_as_usage_only() -> None:
    async def flow() -> Any:
        async with Pool() as pool:
            await pool.add(ask("a"))
            await pool.add(ask("b"))
            return await pool.next()

    tape, heard = Tape(), list[Any]()
    machine = Machine(flow(), tape, listen=heard.append)
    a, b = [machine.take(x.at) for x in machine.pending()]
    machine.tell(b.at, Reply("B", COST))
    assert machine.cancelled == [a.at]
    assert not machine.wants(a.at)
    machine.late(a, Reply("A", COST))
    machine.late(a, OutOfBudget("calls", 1, 0))
    machine.late(a, Failed("no cost known"))
    (_, record) = tape.records[-1]
    assert len(tape.records) == 2
    assert (record["kind"], record["at"], record["usage"]) == (
        "late",
        a.at,
        {"tokens_out": 5, "calls": 1},
    )
    assert "value" not in record
    assert heard[-1] == Answered("", a.at, a.request, Reply("A", COST), "", late=True)


def test_cancelled_requests_are_no_longer_pending() -> None:
    async def flow() -> Any:
        async with Pool() as pool:
            await pool.add(ask("a"))
            await pool.add(ask("b"))
            await pool.next()
        return await ask("after")

    machine = Machine(flow())
    machine.tell(machine.pending()[1].at, Reply(1))
    assert [a.request.args for a in machine.pending()] == [("after",)]
    assert machine.cancelled == []  # nobody had claimed it


def test_a_silent_machine_journals_nothing_but_costs() -> None:
    async def flow() -> Any:
        await ask("x")
        await note("n")
        return [v async for v in each([1], ask, codec=None)]

    tape = Tape()
    machine = Machine(flow(), tape)
    machine.silent = True
    machine.tell(machine.pending()[0].at, Reply(1, COST))
    assert tape.records == []
    machine.close()
