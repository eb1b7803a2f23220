"""Replay: from every prefix, under another grant, after a change of the code, of sealed streams."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cogitate.core.errors import Failed, OutOfBudget, ReplayMismatch
from cogitate.core.events import Noted
from cogitate.core.flow import Pool, each, gather, note, remaining, set_aside
from cogitate.core.journal import Record, Tape, standing
from cogitate.core.machine import Machine
from cogitate.core.requests import Call, Reply
from cogitate.core.usage import ZERO, Budget, Usage

COST = Usage(tokens_out=5, calls=1)


class Books:
    """Sums what a replay charges."""

    def __init__(self) -> None:
        self.usage = ZERO

    def opened(self, account: str, parent: str, grant: Budget, reserved: bool) -> None: ...
    def closed(self, account: str) -> None: ...
    def charged(self, account: str, role: str, usage: Usage, *, cached: bool = False) -> None:
        self.usage = self.usage + usage


class Plain:
    def encode(self, value: Any) -> Any:
        return value

    def decode(self, raw: Any) -> Any:
        return raw


async def ask(*name: object) -> Any:
    return await Call("f", name)


def play(
    flow: Any, records: Any = (), seed: int | None = None, answer: Any = None, **options: Any
) -> tuple[Any, Tape, int, Usage]:
    """Result, tape, number of answers from the world, and usage charged by replay and world together."""
    tape, books, paid = Tape(records), Books(), 0
    machine = Machine(flow, tape, books=books, **options)
    rng = random.Random(seed)
    while not machine.done:
        waiting = machine.pending()
        found = machine.take((rng.choice(waiting) if seed is not None else waiting[0]).at)
        outcome = answer(found) if answer else None
        outcome = outcome if outcome is not None else Reply(found.request.key()[:4], COST)
        paid += 1
        if getattr(outcome, "usage", None) is not None:
            books.usage = books.usage + outcome.usage
        machine.tell(found.at, outcome)
    return machine.result, tape, paid, books.usage


def kinds(tape: Tape) -> list[str]:
    return [r["kind"] for _, r in tape.records]


async def unordered() -> list[Any]:
    """Its result depends on the order of arrival; it takes notes, and drops late work."""
    found: list[Any] = []
    async with Pool() as pool:
        for i in range(5):
            await pool.add(ask("first", i))
        for _ in range(4):
            i, value = await pool.next()
            await note("arrived", i=i)
            found.append((i, value))
            await pool.add(ask("next", i, value))
    found.append(await gather(ask("last", 0), ask("last", 1)))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_prefix_leads_to_the_same_end_and_pays_only_for_the_rest(seed: int) -> None:
    want, tape, paid, _ = play(unordered(), seed=seed)
    for cut in range(len(tape.records) + 1):
        prefix = tape.records[:cut]
        held = sum(r["kind"] == "reply" for _, r in prefix)

        # What is missing is answered in the order of the first run, as far as it is recorded.
        rest = [r["at"] for _, r in tape.records[cut:] if r["kind"] == "reply"]
        again = Tape(prefix)
        machine = Machine(unordered(), again)
        for at in rest:
            asked = machine.take(at)
            machine.tell(at, Reply(asked.request.key()[:4], COST))
        assert machine.result == want
        assert len(rest) == paid - held
        assert again.records == tape.records, "a resumed journal is the journal of one run"


def test_arrival_order_is_the_order_of_records() -> None:
    results = {str(play(unordered(), seed=seed)[0]) for seed in range(6)}
    assert len(results) > 1, "the flow must depend on arrival order for this to say anything"
    for seed in range(6):
        want, tape, _, usage = play(unordered(), seed=seed)
        got, _, paid, charged = play(unordered(), tape.records)
        assert (got, paid, charged) == (want, 0, usage)


def test_a_resumed_journal_resumes_again() -> None:
    want, tape, _, usage = play(unordered(), seed=3)
    records = tape.records[:3]
    for length in (5, 8, len(tape.records)):
        machine = Machine(unordered(), resumed := Tape(records))
        for _, record in tape.records[len(records) :]:
            if len(resumed.records) >= length or machine.done:
                break
            if record["kind"] == "reply":
                asked = machine.take(record["at"])
                machine.tell(asked.at, Reply(asked.request.key()[:4], COST))
        records = list(resumed.records)
        machine.close()
    assert play(unordered(), records)[0] == want
    assert play(unordered(), records)[3] == usage


def test_late_answers_are_charged_on_replay() -> None:
    tape = Tape()
    machine = Machine(unordered(), tape)
    claimed = {a.at: machine.take(a.at) for a in machine.pending()}
    order = list(claimed)
    for at in order[1:]:
        machine.tell(at, Reply("x", COST))
        for new in machine.pending():
            claimed[new.at] = machine.take(new.at)
    for at in machine.cancelled:
        machine.late(claimed[at], Reply("late", COST))
    assert "late" in kinds(tape)
    machine.close()
    books = Books()
    Machine(unordered(), Tape(tape.records), books=books).close()
    assert books.usage.calls == sum("usage" in r for _, r in tape.records)


def test_notes_are_published_again_but_not_journaled_again() -> None:
    _, tape, _, _ = play(unordered(), seed=1)
    heard: list[Any] = []
    got = Tape(tape.records)
    Machine(unordered(), got, listen=heard.append)
    assert got.records == tape.records
    assert sum(isinstance(e, Noted) for e in heard) == kinds(tape).count("note") == 4


# ------------------------------------------------------------------------------- mismatches


async def chain(*names: str) -> list[Any]:
    return [await ask(name) for name in names]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (("a", "B", "c"), "now asks Call"),
        (("a",), "nothing: the flow has ended"),
        (("a", "x", "b", "c"), "now asks Call"),
    ],
    ids=["changed", "missing", "extra"],
)
def test_changed_code_is_refused_with_the_address(now: tuple[str, ...], said: str) -> None:
    _, tape, _, _ = play(chain("a", "b", "c"))
    with pytest.raises(ReplayMismatch, match=said) as found:
        Machine(chain(*now), Tape(tape.records))
    assert found.value.address == "#1"
    assert "--from-mismatch" in str(found.value)


def test_an_answer_to_a_question_nobody_asks_is_refused() -> None:
    _, tape, _, _ = play(gather(ask("a"), ask("b")))
    with pytest.raises(ReplayMismatch, match=r"recorded Call .* at #0"):
        Machine(ask("a"), Tape(tape.records))


def test_from_mismatch_keeps_what_matches_and_offers_the_rest_as_cache() -> None:
    _, tape, _, _ = play(chain("a", "b", "c"))
    machine = Machine(chain("a", "B", "c"), resumed := Tape(tape.records), from_mismatch=True)
    assert machine.pending()[0].request.args == ("B",)
    assert [r["at"] for r in machine.leftovers()] == ["#1", "#2"]
    assert machine.leftovers() == [], "each is given once"
    for _ in range(2):
        machine.tell(machine.pending()[0].at, Reply("new", COST))
    assert [r["kind"] for _, r in resumed.records[3:]] == ["cut", "reply", "reply"]
    # the journal that was cut is the journal of the new code
    again = Machine(chain("a", "B", "c"), Tape(resumed.records))
    assert again.result == machine.result
    with pytest.raises(ReplayMismatch):
        Machine(chain("a", "b", "c"), Tape(resumed.records))


# ---------------------------------------------------------------------------- a larger grant


async def refused() -> list[Any]:
    await note("before")
    got = await gather(*(ask(i) for i in range(4)), drop=(OutOfBudget,))
    await note("middle", n=len(got))
    return [got, await ask("end", len(got))]


def deny(*refused: int) -> Any:
    def answer(found: Any) -> Any:
        return OutOfBudget("calls", 1, 0) if found.request.args[0] in refused else None

    return answer


def test_the_same_grant_replays_refusals() -> None:
    want, tape, _, _ = play(refused(), answer=deny(2, 3))
    got, _, paid, _ = play(refused(), tape.records)
    assert (got, paid) == (want, 0)


def test_another_grant_stops_at_the_first_refusal() -> None:
    _, tape, _, _ = play(refused(), answer=deny(1, 2))
    machine = Machine(refused(), resumed := Tape(tape.records), keep_refusals=False)
    assert [a.request.args for a in machine.pending()] == [(1,), (2,), (3,)]
    assert [r["at"] for r in machine.leftovers()] == ["1/3#0", "#3"]
    while not machine.done:
        machine.tell(machine.pending()[0].at, Reply("v", COST))
    assert len(machine.result[0]) == 4
    again = Tape(resumed.records)
    assert Machine(refused(), again).result == machine.result
    assert again.records == resumed.records, "notes that were cut off are not counted as published"
    noted = [r["value"] for r in standing([r for _, r in again.records]) if r["kind"] == "note"]
    assert noted == [{}, {"n": 4}]


@pytest.mark.parametrize("word", ["remaining", "set aside", "trimmed"])
def test_another_grant_stops_at_what_depends_on_the_grant(word: str) -> None:
    from cogitate.core.prompt import Prompt
    from cogitate.core.requests import Completion, Generate

    async def flow() -> Any:
        await ask("a")
        if word == "remaining":
            await remaining()
        elif word == "trimmed":
            await Generate(Prompt.raw("p"), seed=0)
        else:
            async with set_aside("v", Budget(calls=1)):
                pass
        return await ask("b")

    values: dict[str, Any] = {
        "Remaining": Reply(Budget(calls=3)),
        "SetAside": Reply("/v@1"),
        "Generate": Reply(Completion("cut", "limit"), COST, trimmed=7),
    }
    _, tape, _, _ = play(flow(), answer=lambda f: values.get(type(f.request).__name__))
    machine = Machine(flow(), Tape(tape.records), keep_refusals=False)
    (waiting,) = machine.pending()
    assert type(waiting.request).__name__ in values
    machine.close()


def test_late_costs_survive_a_cut() -> None:
    tape = Tape()
    machine = Machine(refused(), tape)
    asks = [machine.take(a.at) for a in machine.pending()]
    machine.tell(asks[0].at, OutOfBudget("calls", 1, 0))
    machine.late(asks[1], Reply("x", COST))  # as if it had been cancelled
    machine.close()
    books = Books()
    machine = Machine(refused(), resumed := Tape(tape.records), books=books, keep_refusals=False)
    machine.tell(machine.pending()[0].at, Reply("v", COST))
    machine.close()
    assert books.usage == COST
    books = Books()
    Machine(refused(), Tape(resumed.records), books=books).close()
    assert books.usage == COST + COST


# ----------------------------------------------------------------------------------- streams


async def problem(name: str) -> list[Any]:
    return [name, await ask(name, 0), await ask(name, 1)]


async def bench(names: str, codec: Any = None) -> list[Any]:
    found: list[Any] = []
    async for value in each(names, problem, at_most=3, stream=lambda n: f"p{n}", codec=codec):
        await note("finished", name=value[0])
        found.append(value)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_finished_streams_are_not_replayed_and_their_usage_counts(seed: int) -> None:
    want, tape, paid, usage = play(bench("abcdef", Plain()), seed=seed)
    ran: list[Any] = []
    for cut in range(len(tape.records) + 1):
        prefix = tape.records[:cut]
        sealed = {s for s, r in prefix if r["kind"] == "sealed"}
        got, again, more, charged = play(bench("abcdef", Plain()), prefix, seed=7)
        assert got == want
        assert charged == usage
        assert more == paid - sum("usage" in r for _, r in prefix)
        ran.append(sealed)
        new = [s for s, r in again.records[cut:] if r["kind"] == "reply"]
        assert not sealed & set(new)
    assert ran[-1] == {f"p{n}" for n in "abcdef"}


def test_a_sealed_stream_does_not_even_make_its_flow() -> None:
    _, tape, _, usage = play(bench("ab", Plain()))
    made: list[str] = []

    async def flow() -> list[Any]:
        def make(name: str) -> Any:
            made.append(name)
            return problem(name)

        return [
            v async for v in each("abc", make, at_most=3, stream=lambda n: f"p{n}", codec=Plain())
        ]

    records = [pair for pair in tape.records if pair[0]]
    _, _, paid, charged = play(flow(), records)
    assert (made, paid) == (["c"], 2)
    assert charged == usage + COST + COST


def test_the_seal_of_a_resumed_stream_counts_both_runs() -> None:
    _, tape, _, usage = play(bench("a", Plain()))
    (first,) = [i for i, (_, r) in enumerate(tape.records) if r["kind"] == "reply"][:1]
    _, again, _, _ = play(bench("a", Plain()), tape.records[: first + 1])
    seals = [r for _, r in again.records if r["kind"] == "sealed"]
    assert seals[0]["roles"] == {"code": {"tokens_out": 10, "calls": 2}}
    assert play(bench("a", Plain()), again.records)[3] == usage


def test_what_came_late_after_a_seal_is_charged_with_it() -> None:
    _, tape, _, usage = play(bench("a", Plain()))
    late: Record = {"kind": "late", "at": "x", "ask": "Call", "key": "", "role": "code"}
    late["usage"] = {"tokens_out": 5, "calls": 1}
    assert play(bench("a", Plain()), [*tape.records, ("pa", late)])[3] == usage + COST


def test_abandoned_streams_keep_their_costs() -> None:
    """Which child was ahead when the loop was left is not recorded across streams; what it cost is."""

    async def first() -> Any:
        async for value in each("abc", problem, at_most=3, codec=Plain()):
            return value
        return None

    for seed in range(8):
        want, tape, _, usage = play(first(), seed=seed)
        got, _, paid, charged = play(first(), tape.records)
        assert (got, paid) == (want, 0)
        assert charged == usage


def test_a_larger_grant_reads_the_cache_of_streams_that_begin_later() -> None:
    def answer(found: Any) -> Any:
        return OutOfBudget("calls", 1, 0) if found.request.args[1] == 0 else None

    async def one(name: str) -> Any:
        return await gather(ask(name, 0), ask(name, 1), drop=(OutOfBudget,))

    async def flow() -> list[Any]:
        return [v async for v in each("abcd", one, at_most=1)]

    _, tape, _, _ = play(flow(), answer=answer)
    machine = Machine(flow(), Tape(tape.records), keep_refusals=False)
    offered: list[str] = []
    while not machine.done:
        offered += [r["key"] for r in machine.leftovers()]
        machine.tell(machine.pending()[0].at, Reply("v"))
    assert len(offered) == 4


def test_failed_and_denied_answers_replay_as_they_were() -> None:
    def answer(found: Any) -> Any:
        n = found.request.args[0]
        if n == "f":
            return Failed("why", "timeout", usage=COST)
        return OutOfBudget("usd", float("nan"), 2.0, "/a") if n == "d" else None

    async def flow() -> Any:
        found: list[Any] = []
        for name in "fd":
            try:
                await ask(name)
            except (Failed, OutOfBudget) as error:
                found.append(error)
        return found

    (failed, denied), tape, _, usage = play(flow(), answer=answer)
    import json

    json.dumps([r for _, r in tape.records], allow_nan=False)
    (failed2, denied2), _, paid, charged = play(flow(), tape.records)
    assert (paid, charged) == (0, usage)
    assert (failed2.reason, failed2.kind, failed2.usage) == (failed.reason, failed.kind, COST)
    assert str(denied2) == str(denied)
    assert "is unknown" in str(denied)
    assert (denied2.unit, denied2.left, denied2.account) == ("usd", 2.0, "/a")
