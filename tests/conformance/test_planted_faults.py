"""Faults planted in the searches and the core: the suite must turn red for each."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cogitate import _conformance as conformance
from cogitate.budget import Ledger
from cogitate.core.candidates import Candidate, Ranking, Score, ranked
from cogitate.core.errors import CogitateError, Failed, OutOfBudget
from cogitate.core.flow import Pool, gather, note
from cogitate.core.machine import Machine
from cogitate.processes import Answer
from cogitate.scorers import MeanLogprob
from cogitate.search import Solve
from cogitate.testing import Case


async def _sampled(process: Any, task: Any, seed: Any, index: int) -> Any:
    state = await process.start(task, seed.at("sample", index))
    while not process.done(state):
        state = await process.step(state, seed.at("sample", index))
    await note("expanded", id=str(index), parent=None)
    return state


def _ranked(states: Any, scores: Any) -> Ranking[Any]:
    return ranked(
        Candidate(s, c, str(i)) for i, (s, c) in enumerate(zip(states, scores, strict=True))
    )


@dataclass(frozen=True)
class Good:
    """The fault-free search that the others spoil."""

    async def __call__(self, process: Any, scorer: Any, task: Any, seed: Any) -> Ranking[Any]:
        try:
            states = await gather(
                *(_sampled(process, task, seed, i) for i in range(4)), drop=(OutOfBudget, Failed)
            )
            return _ranked(states, await scorer(task, states))
        except OutOfBudget:
            return Ranking()


@dataclass(frozen=True)
class AmbientRandomness:
    async def __call__(self, process: Any, scorer: Any, task: Any, seed: Any) -> Ranking[Any]:
        other = replace(seed, root=random.getrandbits(40))
        return await Good()(process, scorer, task, other)


@dataclass(frozen=True)
class OneAfterTheOther:
    async def __call__(self, process: Any, scorer: Any, task: Any, seed: Any) -> Ranking[Any]:
        try:
            states = [await _sampled(process, task, seed, i) for i in range(4)]
            return _ranked(states, await scorer(task, states))
        except (OutOfBudget, Failed):
            return Ranking()


@dataclass(frozen=True)
class EscapingRefusal:
    async def __call__(self, process: Any, scorer: Any, task: Any, seed: Any) -> Ranking[Any]:
        states = await gather(*(_sampled(process, task, seed, i) for i in range(4)))
        return _ranked(states, await scorer(task, states))


@dataclass(frozen=True)
class FirstCome:
    """Keeps the two that arrive first, yet claims to be ordered."""

    async def __call__(self, process: Any, scorer: Any, task: Any, seed: Any) -> Ranking[Any]:
        found = []
        try:
            async with Pool[Any]() as pool:
                for i in range(6):
                    await pool.add(_sampled(process, task, seed, i))
                for _ in range(2):
                    found.append(await pool.next())
        except (OutOfBudget, Failed):
            return Ranking()
        return ranked(Candidate(s, Score(-float(i)), str(i)) for i, s in found)


@dataclass
class Remembers:
    """Not frozen: its second run depends on its first."""

    runs: int = 0

    async def __call__(self, process: Any, scorer: Any, task: Any, seed: Any) -> Ranking[Any]:
        self.runs += 1
        return await Good()(process, scorer, task, seed.at(self.runs))


@dataclass(frozen=True)
class UnknownParents:
    async def __call__(self, process: Any, scorer: Any, task: Any, seed: Any) -> Ranking[Any]:
        found = await Good()(process, scorer, task, seed)
        return found.with_items(replace(c, parent="nobody") for c in found.items)


def row(search: Any) -> Case:
    return Case(
        type(search).__name__,
        Solve(Answer(logprobs=0, max_tokens=64), MeanLogprob(), search),
        together=4,
    )


def test_the_unspoilt_search_passes() -> None:
    for check in conformance.CHECKS:
        check(row(Good()))


@pytest.mark.parametrize(
    ("search", "check"),
    [
        (AmbientRandomness(), conformance.same_answer_under_every_driver),
        (AmbientRandomness(), conformance.resumes_from_every_prefix),
        (OneAfterTheOther(), conformance.batches_form),
        (EscapingRefusal(), conformance.keeps_every_budget),
        (EscapingRefusal(), conformance.survives_failures),
        (FirstCome(), conformance.same_answer_under_every_driver),
        (Remembers(), conformance.shares_no_state),
        (UnknownParents(), conformance.parents_exist),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_spoilt_search_falls(search: Any, check: Callable[[Case], None]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (whatever the check finds first)
        check(row(search))
    assert not isinstance(caught.value, TypeError)


def test_unreserved_money_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds of zero: ten requests see the same last tokens."""
    plain = Ledger.reserve

    def nothing(self: Ledger, account: str, ceiling: Any) -> Any:
        return plain(self, account, replace(ceiling, tokens_out=0))

    monkeypatch.setattr(Ledger, "reserve", nothing)
    with pytest.raises(AssertionError, match="of"):
        conformance.keeps_every_budget(row(Good()))


def test_forgotten_holds_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(self: Ledger, hold: Any, role: str, actual: Any) -> None:
        self._spend(hold.account, role, actual)

    monkeypatch.setattr(Ledger, "settle", keep)
    with pytest.raises(AssertionError, match="held"):
        conformance.keeps_every_budget(row(Good()))


def test_a_ledger_that_forgets_on_resume_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "charged", lambda self, account, role, usage, cached=False: None)
    with pytest.raises(AssertionError):
        conformance.resumes_from_every_prefix(row(Good()))


def test_a_reply_that_is_not_journaled_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Machine.tell
    told: list[int] = []

    def drops_one(self: Any, at: str, outcome: Any) -> None:
        told.append(1)
        self.silent = len(told) % 4 == 2
        plain(self, at, outcome)

    monkeypatch.setattr(Machine, "tell", drops_one)
    with pytest.raises(CogitateError, match="journal"):
        conformance.same_answer_under_every_driver(row(Good()))
