"""What a key may spend in which window, and what a request may cost at most."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Usage

UNITS: Final = ("requests", "tokens", "tokens_out", "usd")
"""What quotas count: requests; input and output tokens of all roles; output tokens of all roles; money."""

WINDOWS: Final = ("minute", "hour", "day", "month", "total")
"""The windows of quotas: of the clock and the calendar in UTC, and `total` for the life of the key."""

NOW: Final = "now"
"""The window of what is in flight: where concurrency is counted."""

UNBOUNDED: Final = 2**62
"""An amount no counter reaches; fits a signed integer of 64 bits with room to add one to it."""

MOST: Final = 2**53
"""The largest quota, in tokens or billionths of a dollar: sums of such amounts stay below `UNBOUNDED`."""

_NANO: Final = 1_000_000_000
_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86_400}
_TEXT = re.compile(
    r"(?P<unit>[a-z_]+)=(?P<amount>[0-9][0-9_.]*(?:e[0-9]+)?)(?:/(?P<window>[a-z]+))?"
)

Amounts = tuple[int, int, int, int]
"""Whole amounts in the order of `UNITS`; money in billionths of a dollar, so that sums are exact."""


def nanodollars(usd: float) -> int:
    """Money as a whole number, rounded up: what was spent is never forgotten.

    >>> nanodollars(0.1 + 0.2)
    300000000
    """
    return math.ceil(round(usd * _NANO, 3))


def of_unit(unit: str, amount: int) -> float:
    """A whole amount as people say it."""
    return amount / _NANO if unit == "usd" else amount


@dataclass(frozen=True, slots=True)
class Quota:
    """At most so much of a unit in a window.

    Raises:
        InvalidInput: for an unknown unit or window, or an amount that is no whole positive number.

    >>> Quota.read("tokens_out=100_000/day"), str(Quota("usd", 5, "month"))
    (Quota(unit='tokens_out', amount=100000.0, window='day'), 'usd=5/month')
    """

    unit: str
    """One of `UNITS`."""
    amount: float
    window: str = "total"
    """One of `WINDOWS`."""

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise InvalidInput(
                f"a quota of {self.unit!r} was asked for; a quota counts {', '.join(UNITS)}"
            )
        if self.window not in WINDOWS:
            raise InvalidInput(
                f"a quota for each {self.window!r} was asked for; the windows are {', '.join(WINDOWS)}"
            )
        whole = self.unit == "usd" or self.amount == int(self.amount)
        if not (math.isfinite(self.amount) and whole and 0 <= self.whole <= MOST):
            raise InvalidInput(
                f"a quota of {self.amount:g} {self.unit} was asked for; it is a number from 0 to "
                f"{of_unit(self.unit, MOST):.6g}, whole unless it is money"
            )

    @property
    def whole(self) -> int:
        """The amount as it is counted."""
        return nanodollars(self.amount) if self.unit == "usd" else int(self.amount)

    @classmethod
    def read(cls, text: str) -> Quota:
        """A quota from `UNIT=AMOUNT/WINDOW`; without a window it is for the life of the key.

        Raises:
            InvalidInput: where it cannot be read.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise InvalidInput(
                f"the quota {text!r} cannot be read; write UNIT=AMOUNT/WINDOW, such as "
                "tokens_out=100000/day, requests=60/minute or usd=5/month"
            )
        try:
            amount = float(found["amount"])
        except ValueError:
            raise InvalidInput(f"the quota {text!r} has no number for its amount") from None
        return cls(found["unit"], amount, found["window"] or "total")

    def __str__(self) -> str:
        return f"{self.unit}={self.amount:.15g}/{self.window}"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a request may cost at most, and what it asks for. `None`: nobody knows.

    A key with a quota of something unknown refuses the request: it could not be kept within it.
    """

    tokens_in: int | None = 0
    """Input tokens of all calls and roles."""
    tokens_out: int | None = 0
    """Output tokens of all calls and roles, hidden reasoning included."""
    usd: float | None = 0.0
    model: str = ""
    """The model asked for; held against the models a key may use."""
    strategy: str = ""
    """The strategy asked for; empty for a plain pass-through."""

    def __post_init__(self) -> None:
        for name in ("tokens_in", "tokens_out", "usd"):
            amount = getattr(self, name)
            if amount is not None and not 0 <= amount < math.inf:
                raise InvalidInput(f"a ceiling of {amount} {name} was given; it is at least 0")

    def amounts(self) -> tuple[int | None, int | None, int | None, int | None]:
        """In the order of `UNITS`."""
        known = self.tokens_in is not None and self.tokens_out is not None
        tokens = (self.tokens_in or 0) + (self.tokens_out or 0) if known else None
        usd = None if self.usd is None else nanodollars(self.usd)
        return (1, tokens, self.tokens_out, usd)


def to_hold(wanted: Ceiling, bounds: Sequence[tuple[str, Amounts]]) -> tuple[Amounts, str]:
    """What to hold for a request of a key with these limits, and the unit of which nobody knows how much.

    Only what some window bounds is held, and no more than one over the largest quota.
    """
    held = [0, 0, 0, 0]
    for place, (unit, amount) in enumerate(zip(UNITS, wanted.amounts(), strict=True)):
        if any(most[place] < UNBOUNDED for _, most in bounds):
            if amount is None:
                return (0, 0, 0, 0), unit
            held[place] = min(amount, MOST + 1)
    return (1, held[1], held[2], held[3]), ""


def plus(these: Amounts, those: Amounts) -> Amounts:
    """The sum, unit by unit."""
    a, b, c, d = these
    e, f, g, h = those
    return (a + e, b + f, c + g, d + h)


def less(these: Amounts, those: Amounts) -> Amounts:
    """The difference, unit by unit."""
    a, b, c, d = these
    e, f, g, h = those
    return (a - e, b - f, c - g, d - h)


def spent(usage: Usage, held: Amounts, bounds: Sequence[tuple[str, Amounts]]) -> Amounts:
    """What to count for a request of a key with these limits, in the units that some window bounds.

    Money nobody knows counts as what was held for it, never as nothing.
    """
    known = usage.usd is not None and math.isfinite(usage.usd)
    usd = nanodollars(min(usage.usd or 0.0, MOST / _NANO)) if known else held[3]
    all_of_it = (1, usage.tokens_in + usage.tokens_out, usage.tokens_out, usd)
    counted = [
        min(amount, MOST) if any(most[place] < UNBOUNDED for _, most in bounds) else 0
        for place, amount in enumerate(all_of_it)
    ]
    return (1, counted[1], counted[2], counted[3])


def limits(quotas: Sequence[Quota], concurrency: int | None) -> tuple[tuple[str, Amounts], ...]:
    """The tightest limits by window, in the order of `WINDOWS`; concurrency first, as window `NOW`.

    >>> limits([Quota("requests", 9, "day"), Quota("tokens", 5, "day")], None)[0]
    ('day', (9, 5, 4611686018427387904, 4611686018427387904))
    """
    found: list[tuple[str, Amounts]] = []
    if concurrency is not None:
        found.append((NOW, (concurrency, UNBOUNDED, UNBOUNDED, UNBOUNDED)))
    for window in WINDOWS:
        here = [quota for quota in quotas if quota.window == window]
        if here:
            requests, tokens, tokens_out, usd = (
                min((q.whole for q in here if q.unit == unit), default=UNBOUNDED) for unit in UNITS
            )
            found.append((window, (requests, tokens, tokens_out, usd)))
    return tuple(found)


def start_of(window: str, now: float) -> int:
    """When the window that `now` lies in began, in seconds of the epoch.

    >>> start_of("minute", 125.0), start_of("month", 40 * 86_400.0), start_of("total", 125.0)
    (120, 2678400, 0)
    """
    if window in _SECONDS:
        length = _SECONDS[window]
        return int(now // length) * length
    if window == "month":
        day = datetime.datetime.fromtimestamp(now, datetime.UTC)
        return int(datetime.datetime(day.year, day.month, 1, tzinfo=datetime.UTC).timestamp())
    return 0


def end_of(window: str, now: float) -> float | None:
    """When that window ends; `None` where it never does."""
    if window in _SECONDS:
        return float(start_of(window, now) + _SECONDS[window])
    if window == "month":
        # 32 days after a first of the month always lie in the next one
        return float(start_of("month", start_of("month", now) + 32 * 86_400))
    return None
