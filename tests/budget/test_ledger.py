"""Accounts: two-phase, capped by every account above, and empty at the end."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cogitate.budget import RESERVED, Ledger, Wait
from cogitate.core.errors import OutOfBudget
from cogitate.core.usage import Budget, Usage


def use(tokens: float, **more: Any) -> Usage:
    return Usage(tokens_out=int(tokens), **more)


def test_a_ceiling_is_held_before_it_is_spent() -> None:
    ledger = Ledger(Budget(tokens_out=100))
    hold = ledger.reserve("", use(60))
    assert ledger.left("").tokens_out == 40
    assert not ledger.idle
    with pytest.raises(OutOfBudget) as found:
        ledger.reserve("", use(50))
    assert (found.value.unit, found.value.asked, found.value.left) == ("tokens_out", 50, 40)
    ledger.settle(hold, "policy", use(10, calls=1))
    assert ledger.left("").tokens_out == 90
    assert ledger.idle
    assert ledger.roles == {"policy": use(10, calls=1)}


def test_what_may_still_fit_waits_and_what_cannot_is_refused() -> None:
    ledger = Ledger(Budget(tokens_out=100))
    ledger.settle(ledger.reserve("", use(30)), "", use(30))
    ledger.reserve("", use(40))
    assert ledger.verdict("", use(30)) is None
    assert isinstance(ledger.verdict("", use(31)), Wait)
    assert isinstance(ledger.verdict("", use(70)), Wait)
    refusal = ledger.verdict("", use(71))
    assert isinstance(refusal, OutOfBudget)
    assert (refusal.asked, refusal.left) == (71, 70)


@pytest.mark.parametrize("unit", RESERVED)
def test_every_unit_binds(unit: str) -> None:
    ledger = Ledger(Budget(**{unit: 10}))  # type: ignore[arg-type]
    hold = ledger.reserve("", Usage(**{unit: 6}))  # type: ignore[arg-type]
    assert isinstance(ledger.verdict("", Usage(**{unit: 5})), Wait)  # type: ignore[arg-type]
    ledger.settle(hold, "", Usage(**{unit: 6}))  # type: ignore[arg-type]
    refusal = ledger.verdict("", Usage(**{unit: 5}))  # type: ignore[arg-type]
    assert isinstance(refusal, OutOfBudget)
    assert refusal.unit == unit
    assert ledger.verdict("", Usage(**{unit: 4})) is None  # type: ignore[arg-type]


def test_seconds_are_no_reservation() -> None:
    ledger = Ledger(Budget(seconds=1, calls=5))
    assert ledger.verdict("", Usage(seconds=100, calls=1)) is None
    assert ledger.left("") == Budget(calls=5)


@pytest.mark.parametrize("unit", ["usd", "flops", "bytes_moved"])
def test_an_unknown_price_is_refused_where_it_is_bounded(unit: str) -> None:
    unknown = Usage(**{unit: None})  # type: ignore[arg-type]
    refusal = Ledger(Budget(**{unit: 5})).verdict("", unknown)  # type: ignore[arg-type]
    assert isinstance(refusal, OutOfBudget)
    assert f"in {unit} is unknown" in str(refusal)
    with pytest.raises(OutOfBudget):
        Ledger(Budget(**{unit: 5})).reserve("", unknown)  # type: ignore[arg-type]
    assert Ledger(Budget(calls=1)).verdict("", unknown) is None


def test_a_server_that_uses_more_than_its_ceiling_is_noticed() -> None:
    ledger = Ledger(Budget(tokens_out=100))
    ledger.settle(ledger.reserve("", use(10)), "", use(100))
    assert not ledger.overdrawn
    ledger.settle(ledger.reserve("", use(0)), "", use(1))
    assert ledger.overdrawn
    assert ledger.left("").tokens_out == 0


def test_within_binds_by_the_child_and_by_the_parent() -> None:
    ledger = Ledger(Budget(tokens_out=100))
    ledger.opened("/small", "", Budget(tokens_out=10), reserved=False)
    ledger.opened("/large", "", Budget(tokens_out=1000), reserved=False)
    refusal = ledger.verdict("/small", use(11))
    assert isinstance(refusal, OutOfBudget)
    assert refusal.account == "/small"
    refusal = ledger.verdict("/large", use(101))
    assert isinstance(refusal, OutOfBudget)
    assert refusal.account == ""
    hold = ledger.reserve("/large", use(95))
    assert isinstance(ledger.verdict("/small", use(6)), Wait), "a cap sets nothing aside"
    assert ledger.left("/small").tokens_out == 5
    ledger.settle(hold, "", use(95))
    assert isinstance(ledger.verdict("/small", use(6)), OutOfBudget)


def test_money_set_aside_is_gone_for_the_others_and_flows_back() -> None:
    ledger = Ledger(Budget(tokens_out=100))
    ledger.opened("/v", "", Budget(tokens_out=60), reserved=True)
    assert isinstance(ledger.verdict("", use(41)), OutOfBudget), (
        "refused, not kept waiting for ever"
    )
    hold = ledger.reserve("", use(40))
    assert ledger.verdict("/v", use(60)) is None, "what is set aside is there whatever others hold"
    ledger.settle(ledger.reserve("/v", use(20)), "judge", use(20))
    assert isinstance(ledger.verdict("/v", use(41)), OutOfBudget)
    ledger.settle(hold, "", use(0))
    assert ledger.left("").tokens_out == 40
    ledger.closed("/v")
    assert ledger.left("").tokens_out == 80
    assert ledger.idle


def test_what_is_in_flight_when_its_reservation_closes_stays_covered() -> None:
    ledger = Ledger(Budget(tokens_out=100))
    ledger.opened("/v", "", Budget(tokens_out=60), reserved=True)
    hold = ledger.reserve("/v", use(30))
    ledger.closed("/v")
    assert ledger.left("").tokens_out == 70
    ledger.settle(hold, "", use(10))
    assert ledger.left("").tokens_out == 90
    assert ledger.idle


@pytest.mark.parametrize("order", [("/a/b", "/a"), ("/a", "/a/b")])
def test_what_is_in_flight_two_reservations_down_stays_covered(order: tuple[str, str]) -> None:
    ledger = Ledger(Budget(tokens_out=100))
    ledger.opened("/a", "", Budget(tokens_out=80), reserved=True)
    ledger.opened("/a/b", "/a", Budget(tokens_out=50), reserved=True)
    hold = ledger.reserve("/a/b", use(40))
    for name in order:
        ledger.closed(name)
    assert ledger.left("").tokens_out == 60, "the 40 in flight may still be spent"
    ledger.settle(hold, "", use(40))
    assert ledger.left("").tokens_out == 60
    assert ledger.idle
    assert not ledger.overdrawn


def test_a_closed_account_buys_nothing_and_still_pays_its_debts() -> None:
    ledger = Ledger(Budget(tokens_out=100))
    ledger.opened("/v", "", Budget(tokens_out=60), reserved=True)
    ledger.closed("/v")
    refusal = ledger.verdict("/v", use(1))
    assert isinstance(refusal, OutOfBudget)
    assert refusal.account == "/v"
    ledger.opened("/v/in", "/v", Budget(), reserved=False)
    assert isinstance(ledger.verdict("/v/in", use(1)), OutOfBudget)
    assert ledger.left("/v") == Budget(tokens_out=0)
    ledger.charged("/v", "judge", use(5))
    assert ledger.left("").tokens_out == 95
    ledger.closed("/v")


def test_a_retry_holds_what_the_failed_attempt_cost() -> None:
    ledger = Ledger(Budget(tokens_out=100))
    hold = ledger.reserve("", use(40))
    more = ledger.reserve_again(hold, use(70))
    assert more is not None
    assert ledger.left("").tokens_out == 30
    assert ledger.reserve_again(more, use(101)) is None
    assert ledger.left("").tokens_out == 30
    ledger.settle(more, "", use(65))
    assert ledger.left("").tokens_out == 35
    assert ledger.idle


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e3, 1e15), min_size=1, max_size=40))
def test_sums_of_large_numbers_do_not_block_for_ever(amounts: list[float]) -> None:
    grant = math.fsum(amounts) * 1.0
    ledger = Ledger(Budget(flops=grant))
    holds = [ledger.reserve("", Usage(flops=a)) for a in amounts]
    for hold in holds:
        ledger.settle(hold, "", Usage(flops=0.0))
    assert ledger.idle
    assert ledger.root.held["flops"] == 0.0
    assert ledger.verdict("", Usage(flops=grant)) is None


class Books(RuleBasedStateMachine):
    """Random accounts, holds and endings: nothing is negative, nothing exceeds, nothing stays."""

    @initialize(grant=st.integers(0, 300))
    def begin(self, grant: int) -> None:
        self.grant = grant
        self.ledger = Ledger(Budget(tokens_out=grant, flops=grant * 1.1e13))
        self.open: list[str] = [""]
        self.children: dict[str, list[str]] = {"": []}
        self.holds: list[tuple[Any, Usage]] = []
        self.made = 0

    @rule(data=st.data(), tokens=st.integers(0, 200), reserved=st.booleans(), flops=st.booleans())
    def open_account(self, data: Any, tokens: int, reserved: bool, flops: bool) -> None:
        parent = data.draw(st.sampled_from(self.open))
        grant = Budget(tokens_out=tokens, flops=tokens * 1.1e13 if flops else None)
        if reserved:
            wanted = Usage(tokens_out=tokens, flops=grant.flops or 0.0)
            if self.ledger.verdict(parent, wanted) is not None:
                return
        self.made += 1
        name = f"{parent}/{self.made}"
        self.ledger.opened(name, parent, grant, reserved)
        self.open.append(name)
        self.children[name] = []
        self.children[parent].append(name)

    @rule(data=st.data(), tokens=st.integers(0, 200))
    def reserve(self, data: Any, tokens: int) -> None:
        account = data.draw(st.sampled_from(self.open))
        ceiling = Usage(tokens_out=tokens, flops=tokens * 1.1e13)
        verdict = self.ledger.verdict(account, ceiling)
        if verdict is None:
            self.holds.append((self.ledger.reserve(account, ceiling), ceiling))
        else:
            with pytest.raises(OutOfBudget):
                self.ledger.reserve(account, ceiling)
            if not self.holds:
                assert isinstance(verdict, OutOfBudget), "nothing is in flight: nobody may wait"

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), share=st.floats(0, 1))
    def settle(self, data: Any, share: float) -> None:
        hold, ceiling = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        tokens = int(ceiling.tokens_out * share)
        self.ledger.settle(hold, "", Usage(tokens_out=tokens, flops=tokens * 1.1e13))

    @precondition(lambda self: len(self.open) > 1)
    @rule(data=st.data())
    def close(self, data: Any) -> None:
        name = data.draw(st.sampled_from(self.open[1:]))
        stack, found = [name], []
        while stack:  # children end first
            found.append(stack.pop())
            stack += self.children[found[-1]]
        for gone in reversed(found):
            if gone in self.open:
                self.ledger.closed(gone)
                self.open.remove(gone)

    @invariant()
    def nothing_exceeds(self) -> None:
        for account in self.ledger.accounts.values():
            for unit, limit in account.limits.items():
                slack = account.slack[unit] * 100
                assert account.held[unit] >= 0
                assert account.aside[unit] >= 0
                assert account.spent[unit] <= limit + slack
                if account.parent is None:
                    assert (
                        account.spent[unit] + account.held[unit] + account.aside[unit]
                        <= limit + slack
                    )
        assert not self.ledger.overdrawn
        assert self.ledger.total.tokens_out <= self.grant

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for hold, _ in self.holds:
            self.ledger.settle(hold, "", Usage())
        for name in reversed(self.open[1:]):
            self.ledger.closed(name)
        assert self.ledger.idle
        left = self.ledger.left("").tokens_out
        assert left == self.grant - self.ledger.total.tokens_out


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
