"""Accounts: two-phase money. Reserve the ceiling before dispatch, settle the actual after.

Three kinds of amount stand on an account, for every unit its grant bounds: what is *spent*, what
requests in flight *hold*, and what flows have *set aside*. A request that would fit if the holds
settled at zero waits; it is refused when spent + set aside + its own ceiling exceed the grant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from cogitate.core.errors import OutOfBudget
from cogitate.core.usage import UNITS, ZERO, Budget, Usage

RESERVED = tuple(unit for unit in UNITS if unit != "seconds")
"""Units that are reserved; seconds are a deadline."""


@dataclass(eq=False)
class Account:
    """One grant. Mutable: it counts."""

    name: str
    parent: Account | None
    limits: dict[str, float]
    """The bounded units."""
    slack: dict[str, float] = field(init=False)
    """What sums of floating-point numbers of this size may be off by."""
    reserved: bool = False
    """Whether the grant is set aside on the accounts above."""
    spent: dict[str, float] = field(default_factory=dict[str, float])
    held: dict[str, float] = field(default_factory=dict[str, float])
    aside: dict[str, float] = field(default_factory=dict[str, float])
    reserve: dict[str, float] = field(default_factory=dict[str, float])
    """For a reserved account: what the accounts above still set aside for it."""
    closed: bool = False
    plan: list[tuple[Account, str]] = field(default_factory=list["tuple[Account, str]"])
    """The accounts and units that a request of this account must fit into."""
    above: list[tuple[Account, str, Account]] = field(
        default_factory=list["tuple[Account, str, Account]"]
    )
    """Accounts whose set-aside money a request of this account uses up, with the reserved account."""

    def __post_init__(self) -> None:
        self.slack = {unit: 1e-9 * max(1.0, limit) for unit, limit in self.limits.items()}
        for unit in self.limits:
            self.spent[unit] = self.held[unit] = self.aside[unit] = 0.0
        node: Account | None = self
        covered: dict[str, Account] = {}
        while node is not None:
            for unit in node.limits:
                if unit in covered:
                    self.above.append((node, unit, covered[unit]))
                else:
                    self.plan.append((node, unit))
            if node.reserved:
                for unit in node.limits:
                    covered[unit] = node
            node = node.parent

    def free(self, unit: str) -> float:
        """What a new request may still reserve now."""
        return self.limits[unit] - self.spent[unit] - self.aside[unit] - self.held[unit]

    def ever(self, unit: str) -> float:
        """What a new request may reserve once everything in flight has settled at zero."""
        return self.limits[unit] - self.spent[unit] - self.aside[unit]


@dataclass(frozen=True, slots=True)
class Hold:
    """Money reserved for one request."""

    account: Account
    amounts: tuple[float, ...]
    """In the order of the account's plan."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A request must wait until something on this account settles."""

    account: Account


class Ledger:
    """The accounts of one run, rooted in its grant.

    >>> ledger = Ledger(Budget(tokens_out=100))
    >>> hold = ledger.reserve("", Usage(tokens_out=60))
    >>> ledger.left("")
    Budget(tokens_out=40)
    >>> ledger.settle(hold, "policy", Usage(tokens_out=10, calls=1))
    >>> ledger.left(""), ledger.total.calls
    (Budget(tokens_out=90), 1)
    """

    def __init__(self, grant: Budget) -> None:
        self.grant = grant
        self.root = Account("", None, _limits(grant))
        self.accounts: dict[str, Account] = {"": self.root}
        self.roles: dict[str, Usage] = {}
        self.spent: Usage = ZERO
        """The part of the total that was really paid for; the rest came from a cache."""
        self.overdrawn = False
        """Whether a server has used more than its ceiling allowed."""

    @property
    def total(self) -> Usage:
        """What all roles have spent."""
        return sum(self.roles.values(), ZERO)

    # -------------------------------------------------------------- what the machine tells

    def opened(self, account: str, parent: str, grant: Budget, reserved: bool) -> None:
        """A flow opened an account: a cap, or a reservation that the accounts above set aside."""
        above = self.accounts.get(parent)
        if above is None:
            return  # what is closed has no money to share: requests on the new account are refused
        made = Account(account, above, _limits(grant), reserved)
        self.accounts[account] = made
        if reserved:
            for node, unit in above.plan:
                if unit in made.limits:
                    node.aside[unit] += made.limits[unit]
            made.reserve = dict(made.limits)

    def closed(self, account: str) -> None:
        """An account ended; what it set aside flows back, save what is still in flight."""
        made = self.accounts.pop(account, None)
        if made is None:
            return
        made.closed = True
        for unit, left in list(made.reserve.items()):
            busy = made.held[unit] + made.aside[unit]
            self._return(made, unit, max(0.0, left - busy))

    def charged(self, account: str, role: str, usage: Usage, *, cached: bool = False) -> None:
        """Something that an earlier run paid; on the whole grant where its account is closed by now."""
        self._spend(self.accounts.get(account, self.root), role, usage, cached)

    # ---------------------------------------------------------------------- reservation

    def verdict(self, account: str, ceiling: Usage) -> Wait | OutOfBudget | None:
        """Whether a request with this ceiling fits: now (`None`), later (`Wait`), or never.

        Nothing fits an account that was closed, as a reservation is when its flow has left it.
        """
        found = self.accounts.get(account)
        if found is None:
            return OutOfBudget("calls", 1, 0, account)
        wait: Wait | None = None
        for node, unit in found.plan:
            need = getattr(ceiling, unit)
            if need is None:
                return OutOfBudget(unit, math.nan, node.ever(unit), node.name)
            if need > node.ever(unit) + node.slack[unit]:
                return OutOfBudget(unit, need, max(0.0, node.ever(unit)), node.name)
            if need > node.free(unit) + node.slack[unit]:
                wait = Wait(node)
        return wait

    def reserve(self, account: str, ceiling: Usage) -> Hold:
        """Hold the ceiling.

        Raises:
            OutOfBudget: when it does not fit now.
        """
        found = self.accounts[account]
        for node, unit in found.plan:
            need = getattr(ceiling, unit)
            if need is None or need > node.free(unit) + node.slack[unit]:
                asked = math.nan if need is None else need
                raise OutOfBudget(unit, asked, max(0.0, node.free(unit)), node.name)
        amounts = tuple(float(getattr(ceiling, unit)) for _, unit in found.plan)
        for (node, unit), amount in zip(found.plan, amounts, strict=True):
            node.held[unit] += amount
        return Hold(found, amounts)

    def reserve_again(self, hold: Hold, ceiling: Usage) -> Hold | None:
        """The hold with another ceiling, or `None` where the grant does not bear it."""
        plan = hold.account.plan
        amounts = tuple(float(getattr(ceiling, unit) or 0.0) for _, unit in plan)
        both = list(zip(plan, hold.amounts, amounts, strict=True))
        if any(now - old > node.free(unit) + node.slack[unit] for (node, unit), old, now in both):
            return None
        for (node, unit), old, now in both:
            node.held[unit] = _rounded(node.held[unit] + now - old, node.slack[unit])
        return Hold(hold.account, amounts)

    def settle(self, hold: Hold, role: str, actual: Usage, *, cached: bool = False) -> None:
        """Give a hold back and charge what was really used; charges survive failed parsing.

        What is `cached` counts against the grant, and nobody pays for it.
        """
        for (node, unit), amount in zip(hold.account.plan, hold.amounts, strict=True):
            node.held[unit] = _rounded(node.held[unit] - amount, node.slack[unit])
            if node.closed and node.reserve:
                spent = getattr(actual, unit) or 0.0
                self._return(node, unit, max(0.0, min(amount, node.reserve[unit]) - spent))
        self._spend(hold.account, role, actual, cached)

    def left(self, account: str) -> Budget:
        """What is left of every bounded unit, seconds excepted: the tightest of the accounts above."""
        found = self.accounts.get(account)
        if found is None:
            return Budget(**dict.fromkeys(self.root.limits, 0))
        amounts: dict[str, float] = {}
        for node, unit in found.plan:
            amounts[unit] = min(amounts.get(unit, math.inf), max(0.0, node.free(unit)))
        whole = {u: int(a + 1e-6) for u, a in amounts.items() if u in _WHOLE}
        other = {u: a for u, a in amounts.items() if u not in _WHOLE}
        return replace(Budget(**whole), **other)

    @property
    def idle(self) -> bool:
        """Whether nothing is held and nothing is set aside."""
        return all(
            a.held[u] <= a.slack[u] and a.aside[u] <= a.slack[u]
            for a in self.accounts.values()
            for u in a.limits
        )

    def _spend(self, account: Account, role: str, usage: Usage, cached: bool = False) -> None:
        self.roles[role] = self.roles.get(role, ZERO) + usage
        if not cached:
            self.spent = self.spent + usage
        for node, unit in account.plan:
            node.spent[unit] += getattr(usage, unit) or 0.0
            if node.spent[unit] > node.limits[unit] + node.slack[unit]:
                self.overdrawn = True
        for node, unit, reserved in account.above:
            amount = getattr(usage, unit) or 0.0
            covered = min(amount, reserved.reserve.get(unit, 0.0))
            node.spent[unit] += amount
            node.aside[unit] = _rounded(node.aside[unit] - covered, node.slack[unit])
            if node.spent[unit] > node.limits[unit] + node.slack[unit]:
                self.overdrawn = True
        for reserved in {r.name: r for _, _, r in account.above}.values():
            for unit in reserved.reserve:
                reserved.reserve[unit] -= min(getattr(usage, unit) or 0.0, reserved.reserve[unit])

    def _return(self, reserved: Account, unit: str, amount: float) -> None:
        """Hand set-aside money back to the accounts above, and on from those that are closed."""
        reserved.reserve[unit] -= amount
        for node, other in reserved.parent.plan if reserved.parent else ():
            if other == unit:
                node.aside[unit] = _rounded(node.aside[unit] - amount, node.slack[unit])
                if node.closed and node.reserve:
                    self._return(node, unit, min(amount, node.reserve[unit]))


def _rounded(amount: float, slack: float) -> float:
    """Without what is left of differences of sums: money that nobody holds would block for ever."""
    return 0.0 if amount <= slack else amount


_WHOLE = frozenset({"tokens_in", "tokens_out", "calls"})


def _limits(grant: Budget) -> dict[str, float]:
    return {unit: float(amount) for unit, amount in grant.bounds() if unit in RESERVED}
