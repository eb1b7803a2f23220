"""Admission: waits instead of refusing, in address order, and uses the grant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import gather, remaining, set_aside, within
from cogitate.core.journal import Tape
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Completion, Generate, Grade, Grades, Reply, Request
from cogitate.core.usage import Budget, Usage
from cogitate.drive import Router, run
from cogitate.drive.batch import NeedsLoop

PROMPT = Prompt.raw("question")


class Meter:
    """Charges every unit in proportion to tokens; uses 200 tokens of what it may."""

    fingerprint = "meter"
    serves = frozenset({Generate, Grade})

    def __init__(self, real: int = 200, **limits: Any) -> None:
        self.real = real
        self.limits = Limits(**({"max_batch": 256, "mixed": True} | limits))
        self.served: list[Request[Any]] = []
        self.batches: list[int] = []

    def usage(self, tokens: int) -> Usage:
        return Usage(
            tokens_in=10,
            tokens_out=tokens,
            calls=1,
            flops=tokens * 1e12,
            bytes_moved=tokens * 1e9,
            usd=tokens * 1e-5,
        )

    def ceiling(self, request: Request[Any]) -> Usage:
        return self.usage(request.max_tokens) if isinstance(request, Generate) else Usage()

    async def serve(self, batch: Sequence[Request[Any]], emit: Any = None) -> Sequence[Any]:
        self.served += batch
        self.batches.append(len(batch))
        return [self.reply(request) for request in batch]

    def reply(self, request: Request[Any]) -> Any:
        if isinstance(request, Grade):
            return Reply(Grades((), ()))
        tokens = min(self.real, request.max_tokens)
        return Reply(Completion(f"{request.seed}", tokens=tokens), self.usage(tokens))

    async def close(self) -> None: ...


async def sample(seed: int, **options: Any) -> str:
    return (await Generate(PROMPT, seed=seed, **options)).text


async def best_of(n: int, **options: Any) -> list[str]:
    return await gather(*(sample(i, **options) for i in range(n)), drop=(OutOfBudget,))


GRANTS = {
    "tokens_in": 160,
    "tokens_out": 4096,
    "calls": 16,
    "flops": 4096e12,
    "bytes_moved": 4096e9,
    "usd": 4096e-5,
}


@pytest.mark.parametrize("limits", [{}, {"max_batch": 1}], ids=["batched", "one by one"])
@pytest.mark.parametrize("unit", list(GRANTS))
def test_at_least_four_fifths_of_the_grant_is_used_and_never_more(
    unit: str, limits: dict[str, Any]
) -> None:
    grant = Budget(**{unit: GRANTS[unit]})  # type: ignore[arg-type]
    done = run(best_of(64, least_tokens=64), Meter(**limits), budget=grant)
    spent = getattr(done.usage, unit)
    assert 0.8 * GRANTS[unit] <= spent <= GRANTS[unit] * (1 + 1e-9)
    assert done.idle
    assert not done.overdrawn
    assert len(done.value) >= (16 if unit in ("tokens_in", "calls") else 18)


def test_waiting_requests_are_admitted_in_address_order() -> None:
    engine = Meter()
    done = run(best_of(64), engine, budget=Budget(tokens_out=4096))
    assert done.value == [str(i) for i in range(len(done.value))]
    assert [r.seed for r in engine.served] == list(range(len(done.value)))  # type: ignore[attr-defined]
    assert len(done.value) == 16  # (4096 - 1024) / 200, and the last one whole


def test_a_cap_that_waits_does_not_hold_up_the_others() -> None:
    """The first account is blocked by its own grant; the second has money of its own."""
    engine = Meter()

    async def flow() -> list[Any]:
        return await gather(
            within("narrow", Budget(tokens_out=1024), gather(sample(0), sample(1))),
            within("wide", Budget(tokens_out=4096), gather(sample(2), sample(3))),
            drop=(OutOfBudget,),
        )

    done = run(flow(), engine, budget=Budget(tokens_out=8192))
    assert engine.batches[0] == 3
    assert done.value == [["2", "3"]], "1024 - 200 is less than a second ceiling"


def test_trimmed_replies_say_so_and_replay() -> None:
    tape = Tape()
    done = run(best_of(64, least_tokens=64), Meter(), budget=Budget(tokens_out=4096), journal=tape)
    trimmed = [r["trimmed"] for _, r in tape.records if "trimmed" in r]
    assert trimmed
    assert all(64 <= t < 1024 for t in trimmed)
    again = run(
        best_of(64, least_tokens=64),
        Meter(),
        budget=Budget(tokens_out=4096),
        journal=Tape(tape.records),
    )
    assert (again.value, again.usage) == (done.value, done.usage)


def test_a_request_that_cannot_live_with_less_is_refused() -> None:
    engine = Meter()
    done = run(best_of(3), engine, budget=Budget(tokens_out=1000))
    assert (done.value, engine.served) == ([], [])


def test_an_unknown_price_is_refused_before_it_is_spent() -> None:
    class Unpriced(Meter):
        def usage(self, tokens: int) -> Usage:
            return replace(super().usage(tokens), usd=None)

    engine = Unpriced()
    with pytest.raises(OutOfBudget, match="in usd is unknown"):
        run(sample(0), engine, budget=Budget(usd=100))
    assert engine.served == []
    done = run(sample(0), engine, budget=Budget(calls=1))
    assert done.usage.usd is None


def test_overdraft_is_flagged() -> None:
    class Liar(Meter):
        def reply(self, request: Request[Any]) -> Any:
            return Reply(Completion("x"), Usage(tokens_out=5000, calls=1))

    assert run(sample(0), Liar(), budget=Budget(tokens_out=1024)).overdrawn


def test_remaining_sees_what_is_spent_held_and_set_aside() -> None:
    async def flow() -> list[Any]:
        found = [await remaining()]
        await sample(0)
        async with set_aside("verify", Budget(tokens_out=1000)) as account:
            found.append(await remaining())
            found.append(await account.run(remaining()))
            await account.run(sample(1, max_tokens=500))
        found.append(await remaining())
        return found

    done = run(flow(), Meter(), budget=Budget(tokens_out=4096, calls=9))
    assert [(b.tokens_out, b.calls) for b in done.value] == [
        (4096, 9),
        (2896, 8),
        (1000, 8),
        (3696, 7),
    ]


def test_a_verifier_that_was_set_aside_is_always_affordable() -> None:
    async def flow() -> tuple[int, str]:
        async with set_aside("verify", Budget(tokens_out=1024)) as account:
            kept = await best_of(64, least_tokens=64)
            return len(kept), await account.run(sample(99))

    done = run(flow(), Meter(), budget=Budget(tokens_out=4096))
    assert done.value[1] == "99"
    assert done.value[0] >= 10
    assert done.idle


def test_money_set_aside_refuses_instead_of_waiting_for_ever() -> None:
    async def flow() -> list[str]:
        async with set_aside("a", Budget(tokens_out=3000)):
            try:
                async with set_aside("b", Budget(tokens_out=2000)):
                    pass
            except OutOfBudget as error:
                return [str(error), *await best_of(2)]
        return []

    done = run(flow(), Meter(), budget=Budget(tokens_out=4096))
    assert done.value == ["asked for 2000 tokens_out, but 1096 are left", "0"]


def test_what_still_runs_on_a_reservation_that_was_left_is_refused() -> None:
    from cogitate.core.flow import Pool

    async def twice(seed: int) -> list[str]:
        return [await sample(seed), await sample(seed + 1)]

    async def flow() -> Any:
        async with Pool() as pool:
            async with set_aside("v", Budget(tokens_out=4000)) as account:
                await pool.add(account.run(twice(0)))
                await pool.add(sample(7, max_tokens=64))
                await pool.next()
            try:
                return await pool.next()
            except OutOfBudget as error:
                return str(error)

    done = run(flow(), Meter(max_batch=1), budget=Budget(tokens_out=8000))
    assert "0 are left of account '/v@" in done.value
    assert done.idle


def test_a_kind_that_nobody_serves_fails_at_its_await() -> None:
    from cogitate.core.requests import Embed

    async def flow() -> Any:
        await Embed(("x",))

    with pytest.raises(Failed, match="no engine serves Embed for the role 'embedder'"):
        run(flow(), Meter())


def test_the_router_prefers_the_role_then_services_then_the_default() -> None:
    policy, judge, grader = Meter(), Meter(), Meter()
    router = Router({"policy": (policy,), "judge": (judge,)}, services=(grader,))
    assert router.choose(Generate(PROMPT, seed=0)) is policy
    assert router.choose(Generate(PROMPT, seed=0, role="judge")) is judge
    assert router.choose(Grade((), "text")) is grader
    # a service serves what nobody was named for
    assert router.choose(Generate(PROMPT, seed=0, role="critic")) is grader


# ---------------------------------------------------------------------- the batch driver itself


def test_all_that_is_open_is_one_batch() -> None:
    engine = Meter()

    async def problem(n: int) -> None:
        for step in range(3):
            await gather(*(sample(100 * n + 10 * step + i) for i in range(4)))

    run(gather(*(problem(n) for n in range(8))), engine)
    assert engine.batches == [32, 32, 32]


def test_only_siblings_share_a_batch_of_an_engine_that_does_not_mix() -> None:
    engine = Meter(mixed=False, max_batch=3)

    async def other(seed: int) -> Any:
        return await Generate(Prompt.raw("other"), seed=seed)

    run(gather(sample(0), other(0), sample(1), other(1), sample(2), sample(3)), engine)
    assert sorted(engine.batches) == [1, 2, 3]


def test_requests_that_nobody_waits_for_any_more_are_not_sent() -> None:
    from cogitate.core.flow import Pool

    async def flow() -> Any:
        async with Pool() as pool:
            for i in range(128):
                await pool.add(sample(i))
            return await pool.next()

    engine = Meter(max_batch=8)
    done = run(flow(), engine, budget=Budget(tokens_out=10**6))
    assert done.value == (0, "0")
    assert len(engine.served) == 8
    assert done.idle
    assert done.usage.calls == 8, "late siblings are paid for"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda b: [], "answered 0 of 2"),
        (lambda b: [None] * len(b), "answered with a NoneType"),
        (lambda b: 1 / 0, "raised ZeroDivisionError"),
        (lambda b: (_ for _ in ()).throw(Failed("down")), "down"),
    ],
)
def test_an_engine_that_breaks_is_a_failed_call(answer: Any, said: str) -> None:
    class Broken(Meter):
        async def serve(self, batch: Any, emit: Any = None) -> Any:
            return answer(batch)

    async def flow() -> list[str]:
        found: list[str] = []

        async def one(seed: int) -> None:
            try:
                await sample(seed)
            except Failed as failure:
                found.append(str(failure))

        await gather(one(0), one(1))
        return found

    done = run(flow(), Broken(), budget=Budget(calls=5))
    assert [said in text for text in done.value] == [True, True]
    assert done.idle


def test_an_engine_that_waits_is_refused_with_advice() -> None:
    class Waits(Meter):
        async def serve(self, batch: Any, emit: Any = None) -> Any:
            import asyncio

            await asyncio.sleep(0)

    with pytest.raises(NeedsLoop, match="run_async"):
        run(sample(0), Waits())


def test_what_a_batch_answered_too_late_is_paid_for_on_replay() -> None:
    from cogitate.core.flow import Pool
    from cogitate.drive import replay

    async def flow() -> Any:
        async with Pool() as pool:
            for i in range(5):
                await pool.add(sample(i))
            return await pool.next()

    tape = Tape()
    done = run(flow(), Meter(), journal=tape)
    assert [r["kind"] for _, r in tape.records] == ["reply"] + ["late"] * 4
    assert done.usage.calls == 5
    assert replay(flow(), Tape(tape.records)).usage == done.usage
